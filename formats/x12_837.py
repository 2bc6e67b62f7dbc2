"""X12 837: professional (X222) and institutional (X223) claims as submitted, and as adjudicated (X298, X299).

A submitted claim has charges; what is allowed stands in it only when it was repriced (HCP02), what was paid only in the
post-adjudicated guides (SVD02 on a line, AMT*D on an institutional claim, AMT*B6 allowed, DTP*573 the day). In a
submitted claim SVD and AMT*D are other payers' payments and are not read.

Frequency 1 is an original, 7 a replacement, 8 a void, other frequencies of institutional bills are originals.
A submitted claim has no number of the payer yet, and its patient control number (CLM01) is sealed: its id is a digest
of the billing provider and CLM01, which the door puts under the payer's key, and 7 and 8 take the place of what was
sent under the same. A post-adjudicated claim is named by the payer's number (REF*F8 beside the payer), and REF*F8 of
the claim names what it takes the place of. ICD-9 (BK, BF) is translated by the dated table. A patient who is not the
subscriber and has no number is named by the subscriber's, the day of birth and the first name.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import ValidationError

from formats.cells import BadCell
from formats.reading import Read, Reject
from formats.x12_claim import ClaimRow
from formats.x12_levels import Context
from formats.x12_set import Elements, ToldClaim, Transaction, refused


def read(transaction: Transaction) -> Iterator[Read]:
    """The claims of one transaction set."""
    context, separator, padding = Context(transaction), transaction.around[1], transaction.padding
    claim: list[Elements] = []
    first = 0
    for start, texts in transaction.blocks():
        for number, text in enumerate(texts, start):
            elements = (text + padding).split(separator)
            name = elements[0]
            if name in ("CLM", "HL"):
                if claim:
                    yield _one(transaction, context, first, claim)
                claim, first = ([elements], number) if name == "CLM" else ([], 0)
                if not claim:
                    context.level(number, elements)
            elif claim:
                claim.append(elements)
            else:
                context.take(number, elements)
    if claim:
        yield _one(transaction, context, first, claim)


def _one(transaction: Transaction, context: Context, first: int, claim: list[Elements]) -> Read:
    row = ClaimRow(transaction, context, first, claim)
    made: Read
    try:
        if transaction.unclean is not None:
            row.clean()
        made = row.fact()
    except (BadCell, ValidationError) as error:
        number, name = row.place_of(error)
        made = refused(transaction, error, number, name, [*context.segments(), *claim])
    if transaction.heard is not None:
        transaction.heard.claim(_told(context, row, made))
    return made


def _told(context: Context, row: ClaimRow, made: Read) -> ToldClaim:
    who = context.patient.name or context.subscriber.name or [""] * 10
    number = context.patient.name[9] if context.patient.name else ""
    numbered = who if number or not context.subscriber.name else context.subscriber.name
    provider = context.provider or [""] * 10
    start, through = row.days()
    return ToldClaim(
        first=row.first,
        account=row.segments[0][1],
        charge=row.segments[0][2],
        start=start,
        through=through,
        patient=(who[3], who[4], numbered[8], numbered[9]),
        provider=(provider[2], provider[3], provider[4], provider[8], provider[9]),
        trace=row.trace,
        bill=row.bill,
        reject=made if isinstance(made, Reject) else None,
    )

"""What can be tried of claims whoever pays: which records survive their cancels (outcome rules D.5)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import PlainValidator, ValidationError

from contracts.claims import survivors
from contracts.clauses import Line
from contracts.parts import ClaimRecord, Unit
from contracts.terms import TermSheet
from contracts.trial.clause import Result, Trial
from contracts.trial.figures import DollarsAndCents, Given, OnDay, Says, Text, Word, bad, refused
from contracts.units import money

_actions = Word(("original", "cancel", "adjust"))
LINE_MAX = 1_000_000


def _line(value: Any) -> int | str | None:
    if isinstance(value, bool) or not (value is None or isinstance(value, int | str)):
        raise bad("unknown_value", "must be a whole number, text, or null for a claim without lines")
    return value


class Record(Given):
    """One version of one line of a claim."""

    claim_id: Text
    family: Text
    line: Annotated[int | str | None, PlainValidator(_line), Says("line: whole number, text or null")]
    paid: DollarsAndCents
    action: Annotated[str, PlainValidator(_actions), _actions]
    effective_on: OnDay


def _records(value: Any) -> tuple[Record, ...]:
    if value is None:
        raise bad("missing", "is null; claims are needed")
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise bad("unknown_value", "must be a list of claim lines")
    found = []
    for nth, item in enumerate(value, 1):
        try:
            found.append(Record.model_validate(item))
        except ValidationError as error:
            reason = refused(error)
            raise bad(reason.code, f"claim {nth}, {reason.field}: {reason.message}") from None
    return tuple(found)


class FinalAction(Given):
    """Every version of every line, cancels too."""

    claims: Annotated[
        tuple[Record, ...],
        PlainValidator(_records),
        Says(
            'list of {"claim_id", "family", "line" (number, text or null), "paid" (dollars, unsigned), '
            '"action" (original | cancel | adjust), "effective_on"}'
        ),
    ]


def _final_action(sheet: TermSheet, given: FinalAction) -> tuple[Result, Iterable[Line]]:
    """Each family through the code that folds claims; a cancel names nothing here, so it pairs by line and amount."""
    del sheet
    families: dict[str, list[Record]] = defaultdict(list)
    for record in given.claims:
        families[record.family].append(record)
    standing = [records[i] for records in families.values() for i, _ in survivors(_versions(records))]
    total = sum(_cents(record) for record in standing)
    words = " + ".join(money(_cents(record)) for record in standing[:12]) or "nothing"
    if len(standing) > 12:
        words += f" + {len(standing) - 12} more"
    line = Line("FINAL_ACTION", "Claims that stand", f"{words} = {money(total)}", total, ())
    result = {"money_cents": total, "surviving": _named(standing), "unmatched": _named(_unmatched(given.claims))}
    return result, [line]


def _versions(records: list[Record]) -> list[ClaimRecord]:
    lines = {line: number for number, line in enumerate(dict.fromkeys(record.line for record in records))}
    return [
        ClaimRecord(
            record.claim_id,
            "void" if record.action == "cancel" else "adjustment" if record.action == "adjust" else "original",
            "",
            record.effective_on,
            (b"", "", 0),
            [Unit(lines[record.line], _cents(record), [], [])],
        )
        for record in records
    ]


def _unmatched(records: Iterable[Record]) -> list[Record]:
    """Cancels beyond the lines there are to take away, the last of their (effective_on, claim_id) order."""
    places: dict[tuple[str, Any, int], list[Record]] = defaultdict(list)
    counts: dict[tuple[str, Any, int], int] = defaultdict(int)
    for record in records:
        place = (record.family, record.line, _cents(record))
        if record.action == "cancel":
            places[place].append(record)
        else:
            counts[place] += 1
    return [
        cancel
        for place, cancels in places.items()
        for cancel in sorted(cancels, key=lambda c: (c.effective_on, c.claim_id))[counts[place] :]
    ]


def _cents(record: Record) -> int:
    return int(record.paid * 100)


def _named(records: list[Record]) -> list[list[Any]]:
    """[claim_id, line] of each, sorted; lines that are numbers as numbers, before text, before none."""

    def order(record: Record) -> tuple[str, int, int, str]:
        line = record.line
        if isinstance(line, int):
            return record.claim_id, 0, line, ""
        return record.claim_id, 1 if line is not None else 2, 0, line or ""

    return [[record.claim_id, record.line] for record in sorted(records, key=order)]


_example = [
    {"claim_id": "1", "family": "A", "line": 1, "paid": "200.00", "action": "original", "effective_on": "2025-07-20"},
    {"claim_id": "3", "family": "A", "line": 1, "paid": "200.00", "action": "cancel", "effective_on": "2025-08-07"},
    {"claim_id": "4", "family": "A", "line": 1, "paid": "210.00", "action": "adjust", "effective_on": "2025-09-20"},
]

TRIALS = (
    Trial("claims", "final-action", "Which records survive their cancels, and what they add up to.", FinalAction,
          _final_action, {"claims": _example}),
)  # fmt: skip

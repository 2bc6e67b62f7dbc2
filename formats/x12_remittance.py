"""What remittances of claims (835) and of premiums (820) share: the payment, its trace, its parties, its balance."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any, TypeVar

from pydantic import ValidationError

from contracts.events import RemittanceReceived
from formats.cells import BadCell
from formats.reading import Reject
from formats.schema_errors import first_error
from formats.x12_members import cents, day
from formats.x12_set import Elements, Finding, Transaction, refused

_CODE = re.compile(r"[A-Za-z0-9._:/+-]{1,32}")
_RECORD_ID = re.compile(r"[!-~]{1,64}")
_PLAIN = re.compile(r"[^A-Za-z0-9-]")
_OURS = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_DATED = ("405", "009", "097")
"""DTM01 of the day a remittance was made, where BPR16 has none."""

T = TypeVar("T")


class Misplaced(BadCell):
    """A bad element of a segment by its number in the file; nothing of the set is taken."""

    def __init__(self, number: int, elements: Elements, error: BadCell) -> None:
        super().__init__(error.code, error.column, error.reason, error.remedy)
        self.number, self.elements = number, elements


class Payment:
    """BPR, TRN, DTM and the parties. Raises `Misplaced` when the amount or the day of payment is not there."""

    def __init__(self, segments: list[tuple[int, Elements]]) -> None:
        self._segments = segments
        number, bpr = self._first("BPR")
        self.amount_cents = needed(number, bpr, 2)
        self.method = bpr[4] if _CODE.fullmatch(bpr[4]) else None
        self.trace = record_id(self._first("TRN")[1][2])
        self.notes: tuple[str, ...] = ()
        self.remitted_on = self._paid_on(number, bpr)

    def _paid_on(self, number: int, bpr: Elements) -> date:
        try:
            found = day(bpr, 16)
        except BadCell:
            found = None
        if found is None:
            self.notes = (str(Finding("BPR", 16, 0, "8" if bpr[16] else "1")),)
            dated = next(((n, e) for n, e in self._segments if e[0] == "DTM" and e[1] in _DATED), None)
            if dated is not None:
                found = at(*dated, lambda e: day(e, 2))
        if found is None:
            missing = BadCell("no_date", "BPR16", "a remittance without its day", "send the day of payment in BPR16")
            raise Misplaced(number, bpr, missing)
        return found

    def party(self, kind: str) -> dict[str, str]:
        """The numbers of a party by their kind (XX, FI, TJ): of N1, and of the REFs below it."""
        found: dict[str, str] = {}
        inside = False
        for _, e in self._segments:
            if e[0] == "N1":
                inside = e[1] == kind
            if inside and e[0] in ("N1", "REF"):
                kind_of, value = (e[3], e[4]) if e[0] == "N1" else (e[1], e[2])
                found.setdefault(kind_of, value)
        return found

    def _first(self, name: str) -> tuple[int, Elements]:
        found = next(((n, e) for n, e in self._segments if e[0] == name), None)
        if found is None:
            missing = BadCell("schema", name, "a remittance without its payment or its trace", "send BPR and TRN")
            raise Misplaced(self._segments[0][0] if self._segments else 0, [name], missing)
        return found


def at(number: int, elements: Elements, read: Callable[[Elements], T]) -> T:
    """What `read` makes of a segment; what it has against it is known by its place."""
    try:
        return read(elements)
    except BadCell as error:
        raise Misplaced(number, elements, error) from None


def needed(number: int, elements: Elements, element: int) -> int:
    """An amount that must be there."""
    found = at(number, elements, lambda e: cents(e, element))
    if found is None:
        column = f"{elements[0]}{element:02}"
        missing = BadCell("not_money", column, "an amount that is not there", "send dollars with at most two decimals")
        raise Misplaced(number, elements, missing)
    return found


def unbalanced(number: int, bpr: Elements) -> Misplaced:
    """The reject of a remittance that does not add up."""
    reason = "a remittance whose amount is not what its items and adjustments come to"
    return Misplaced(number, bpr, BadCell("unbalanced", "BPR02", reason, "send a remittance that balances"))


def received(made: dict[str, Any], number: int, bpr: Elements) -> RemittanceReceived:
    """The remittance as a whole. `Misplaced` when it is out of the bounds of its event."""
    try:
        return RemittanceReceived.model_validate(made)
    except ValidationError as error:
        found = first_error(error)
        raise Misplaced(number, bpr, BadCell(found.code, "BPR", found.reason, found.remedy)) from None


def whole(transaction: Transaction, error: Misplaced, rows: int) -> Reject:
    """The reject of a whole set for what one segment says."""
    number, name = error.number or transaction.started, error.elements[0]
    kept = (elements for _, elements in transaction.segments())
    reject = refused(transaction, error, number, name, list(kept))
    return Reject(
        reject.place, reject.code, reject.reason, reject.remedy, reject.raw, max(rows, 1), format=reject.format
    )


def pieces(transaction: Transaction, marks: tuple[str, ...]) -> Iterator[list[tuple[int, Elements]]]:
    """What stands before the first of these segments, then each with what follows it."""
    piece: list[tuple[int, Elements]] = []
    for number, elements in transaction.segments():
        if elements[0] in marks:
            yield piece
            piece = []
        piece.append((number, elements))
    yield piece


def record_id(text: str) -> str | None:
    """A number of the sender's, without blanks; None when it is none."""
    return text if _RECORD_ID.fullmatch(text) else None


def practice(numbers: dict[str, str]) -> str | None:
    """Whom a remittance pays: the tax number, else the NPI."""
    text = _PLAIN.sub("", numbers.get("FI") or numbers.get("TJ") or numbers.get("XX") or "")
    return text[:32] or None


def payment_id(text: str) -> str | None:
    """A payment of ours, where this names one: its id is a UUID of version 5 (seam 11)."""
    return text if _OURS.fullmatch(text) else None

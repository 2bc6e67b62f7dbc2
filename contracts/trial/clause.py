"""One clause that can be tried: its givens, what runs, an example, and the terms it reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from contracts.clauses import Line
from contracts.terms import TermSheet
from contracts.trial.figures import Given

Result = dict[str, Any]


@dataclass(frozen=True)
class Trial:
    """`run(sheet, given)` gives the result's own keys and its lines. `also` are other names of the clause."""

    contract: str
    clause: str
    says: str
    given: type[Given]
    run: Callable[[TermSheet, Any], tuple[Result, Iterable[Line]]]
    example: dict[str, Any]
    reads: frozenset[str] = frozenset()
    also: tuple[str, ...] = field(default=())

    def givens(self) -> list[tuple[str, str, bool]]:
        """Each given: its name, what it accepts, and whether it is needed."""
        found = []
        for name, info in self.given.model_fields.items():
            says = next((str(m.says) for m in info.metadata if hasattr(m, "says")), "")
            found.append((name, says, info.is_required()))
        return found


def as_lines(lines: Iterable[Line]) -> list[dict[str, Any]]:
    """Lines as an explanation shows them."""
    return [
        {
            "clause": line.clause,
            "label": line.label,
            "arithmetic": line.arithmetic,
            "amount_cents": line.amount_cents,
            "terms": [term.as_use() for term in line.terms],
        }
        for line in lines
    ]


def together(lines: Iterable[Line]) -> list[Line]:
    """The monthly lines of one rate as one: 6 months x 110.00 = 660.00."""
    groups: dict[tuple[str, Decimal], list[Line]] = {}
    for line in lines:
        groups.setdefault((line.clause, line.terms[0].number), []).append(line)
    found = []
    for (clause, rate), same in groups.items():
        months = f"{len(same)} month" + ("" if len(same) == 1 else "s")
        words = f"{months} x {rate:.2f} = {len(same) * rate:.2f}"
        amount = sum(line.amount_cents for line in same)
        found.append(Line(clause, same[0].label, words, amount, same[0].terms))
    return found

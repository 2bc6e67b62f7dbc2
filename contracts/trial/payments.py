"""What can be tried of payments themselves: a part of a pool's result, billed months that come back, a reversal."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Annotated, Any

from pydantic import PlainValidator

from contracts import bcbs_sc, employers, eom, ocm
from contracts.clauses import Line
from contracts.exact import exactly
from contracts.meos_lines import DISPOSITIONS, OWED
from contracts.reversals import reversed_lines
from contracts.settlement_payments import pool_share, recouped
from contracts.steps import within_model
from contracts.terms import TermSheet
from contracts.trial.clause import Result, Trial
from contracts.trial.figures import (
    DollarsSigned,
    Given,
    Misfit,
    OnDay,
    Says,
    Text,
    Whole,
    bad,
    dollars_and_cents,
    dollars_signed,
)

CALENDAR = frozenset({"initiation_first_on", "initiation_last_on"})
REASONS = tuple(reason for reason in DISPOSITIONS if reason != OWED)
_nth, _months = Whole("1 for the first", least=1), Whole("months", least=1)


@exactly
def _cents(amount: Decimal) -> int:
    """Whole cents, of dollars that have no more than two decimals."""
    return int(amount * 100)


def _rows(value: Any, what: str, width: int) -> list[list[Any]]:
    if value is None:
        raise bad("missing", f"is null; {what} are needed")
    if not isinstance(value, list) or not all(isinstance(row, list) and len(row) == width for row in value):
        raise bad("unknown_value", f"must be a list of {what}")
    if not value:
        raise bad("out_of_range", "must hold at least one")
    return value


# --- a pool's result, divided ----------------------------------------------------------------------------------------


def _benchmarks(value: Any) -> tuple[Decimal, ...]:
    if value is None:
        raise bad("missing", "is null; dollars are needed")
    if not isinstance(value, list) or not value:
        raise bad("unknown_value", "must be a list of dollars")
    found = tuple(map(dollars_and_cents, value))
    if not sum(found):
        raise bad("out_of_range", "must not all be 0")
    return found


class PoolShare(Given):
    """What a pool earns, or owes below 0, and the benchmark of each of its practices."""

    period_on: OnDay
    amount: DollarsSigned
    benchmarks: Annotated[
        tuple[Decimal, ...], PlainValidator(_benchmarks), Says("list of dollars, one for each practice")
    ]
    nth: Annotated[int, PlainValidator(_nth), _nth]


def _pool_share(sheet: TermSheet, given: PoolShare) -> tuple[Result, Iterable[Line]]:
    within_model(sheet, given.period_on)
    if given.nth > len(given.benchmarks):
        raise Misfit("nth", "must be one of the practices")
    weights = [_cents(benchmark) for benchmark in given.benchmarks]
    line = pool_share(sheet, given.period_on, _cents(given.amount), weights, given.nth - 1)
    return {"amount_cents": line.amount_cents}, [line]


# --- billed months that come back ------------------------------------------------------------------------------------


def _reasons(value: Any) -> tuple[tuple[str, int, int], ...]:
    found = []
    for reason, months, paid in _rows(value, "[reason, months, dollars paid]", 3):
        if reason not in REASONS:
            raise bad("unknown_value", f"a reason is one of {', '.join(REASONS)}")
        found.append((reason, _months(months), _cents(dollars_and_cents(paid))))
    return tuple(found)


class Recouped(Given):
    """Billed months that are not owed, by reason, and what their claims say was paid."""

    period_on: OnDay
    months: Annotated[
        tuple[tuple[str, int, int], ...], PlainValidator(_reasons), Says("list of [reason, months, dollars paid]")
    ]


def _recouped(sheet: TermSheet, given: Recouped) -> tuple[Result, Iterable[Line]]:
    within_model(sheet, given.period_on)
    lines = recouped(sheet.on("meos_recoupment", given.period_on), given.months)
    return {"amount_cents": sum(line.amount_cents for line in lines)}, lines


# --- a payment taken back --------------------------------------------------------------------------------------------


def _components(value: Any) -> tuple[tuple[str, str, int], ...]:
    found = []
    for clause, label, amount in _rows(value, "[clause, label, dollars]", 3):
        if not isinstance(clause, str) or not isinstance(label, str) or not (clause and label):
            raise bad("unknown_value", "a clause and a label are text")
        found.append((clause, label, _cents(dollars_signed(amount))))
    return tuple(found)


class Reversal(Given):
    """A payment's id, and its lines."""

    payment_id: Text
    components: Annotated[
        tuple[tuple[str, str, int], ...], PlainValidator(_components), Says("list of [clause, label, dollars]")
    ]


def _reversal(sheet: TermSheet, given: Reversal) -> tuple[Result, Iterable[Line]]:
    del sheet
    lines = [
        Line(line["clause"], line["label"], line["arithmetic"], line["amount_cents"], ())
        for line in reversed_lines(given.payment_id, given.components)
    ]
    return {"amount_cents": sum(line.amount_cents for line in lines)}, lines


MEDICARE = {eom.CONTRACT: "2024-07-01", ocm.CONTRACT: "2018-01-02"}
POOLS = {**MEDICARE, bcbs_sc.CONTRACT: "2025-01-01"}
_month = ["MEOS", "Monthly Enhanced Oncology Services payment", "110.00"]

TRIALS = (
    *(
        Trial(name, "pool-share", "A practice's part of what its pool earns or owes.", PoolShare, _pool_share,
              {"period_on": day, "amount": "294000.00", "benchmarks": ["6000000.00", "4000000.00"], "nth": 1},
              CALENDAR | {"pool_share"})
        for name, day in POOLS.items()
    ),
    *(
        Trial(name, "meos-recoupment", "Billed months that are not owed come back.", Recouped, _recouped,
              {"period_on": day, "months": [["other_practice", 6, "660.00"]]}, CALENDAR | {"meos_recoupment"})
        for name, day in MEDICARE.items()
    ),
    *(
        Trial(name, "reversal", "A payment taken back, line by line.", Reversal, _reversal,
              {"payment_id": "p-1", "components": [_month]})
        for name in (*POOLS, employers.CONTRACT)
    ),
)  # fmt: skip

"""What left for an employer: the release, as an act of operators, and the figures it sends to the employer's topic."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from contracts.events.base import Cents, Code, Day, Event, Model
from contracts.events.operations import Count, Digest, OperatorAct

Name = Annotated[str, Field(min_length=1, max_length=80, pattern=r"^[A-Za-z0-9 ._/-]+$")]
Whole = Annotated[str, Field(max_length=80, pattern=r"^[A-Za-z0-9 ._/-]*$")]
Fraction4 = Annotated[str, Field(pattern=r"^-?[0-9]+\.[0-9]{4}$", description="a decimal, four places, half to even")]
Decimal4 = Annotated[Fraction4 | None, Field(description="null where it is withheld or there is none")]


class ReleasedFigure(Model):
    """One figure as it left: a value, or the interval in which what is shown leaves it (`high` absent: no bound)."""

    name: Name
    kind: Literal["count", "part", "stratum", "sum", "percent"]
    value: int | None = None
    low: int = 0
    high: int | None = None
    whole: Whole = ""


class ReleasedPeriod(Model):
    """All figures of one period as they stand from this release on.

    `held` and `rules` are for auditors: a correction was held back; which rule withheld a figure. Neither leaves.
    """

    from_on: Day
    through_on: Day
    run_id: Annotated[str, Field(max_length=64)]
    inputs_digest: Digest
    terms_version: Annotated[str, Field(max_length=64)]
    figures: tuple[ReleasedFigure, ...]
    held: bool = False
    rules: Annotated[tuple[tuple[Name, str], ...], Field(description="figure, and the rule that withheld it")] = ()
    guarantee: Annotated[
        tuple[Fraction4, Fraction4] | None,
        Field(description="rate of return by week 26 that is promised, and at which all fees at risk go back"),
    ] = None
    benchmarks: Annotated[
        tuple[tuple[Name, Code], ...], Field(description="figure, and the term of the sheet it is compared with")
    ] = ()


class OutcomesReleased(OperatorAct):
    """A window of an employer's feed was opened: every released period again, changed or not, and the new one.

    `ordinal` counts the plan's releases from 1. `call_cents` is the pooled funding call, null while it is pending;
    `call_cut` is how far in the payer's log it counts, by partition. `settled_cents` is the pooled amount of what was
    settled by period, above 0 from the employer, null while it is pending; `settled_through` is how far in the payer's
    requests it counts (absent: in this release nothing is said of it).
    """

    contract: Code
    ordinal: Annotated[int, Field(ge=1, le=99_999)]
    window_on: Annotated[Day, Field(description="the day whose close opened the window")]
    periods: tuple[ReleasedPeriod, ...]
    call_cents: Cents | None = None
    call_rule: Annotated[str, Field(max_length=200, description="why it is pending, for auditors")] = ""
    call_cut: dict[str, Count]
    settled_cents: Cents | None = None
    settled_rule: Annotated[str, Field(max_length=200, description="why it is pending, for auditors")] = ""
    settled_through: Count | None = None


class DraftPriced(OperatorAct):
    """What a plan would have paid for its people under a draft of its terms, told to its employer: once in a window.

    `ordinal` is the release whose window it is, and `cut` how far in the payer's log it counts, which is that of the
    last funding call that moved. `amount_cents` is all fees and bonuses up to there in one amount, null where the
    disclosure gate withholds it.
    """

    contract: Code
    ordinal: Annotated[int, Field(ge=1, le=99_999)]
    sheet_version: Annotated[str, Field(max_length=64)]
    sheet_digest: Digest
    cut: dict[str, Count]
    amount_cents: Cents | None = None
    rule: Annotated[str, Field(max_length=200, description="why it is withheld, for auditors")] = ""


class MeasuredPeriod(Model):
    """The days measured, both included."""

    from_on: Day
    through_on: Day


class Withheld(Model):
    """The one code for every value withheld, with the interval of each (null: no bound)."""

    code: Literal["withheld"] = "withheld"
    numerator: tuple[int | None, int | None] | None = None
    denominator: tuple[int, int | None] | None = None


class EmployerOutcomeReported(Event):
    """One figure of an employer's report. No person's key, no day of service, no free text.

    Of a count of people: how many, of how many, and their ratio with Wilson's 95 %. Of a sum: its total. Of return to
    work (stratum: the week) and of shares: whole per cents as `value` alone. Of a guarantee: what is promised, and what
    part of the fees at risk goes back by the whole per cent that is shown. Sent again at each window, changed or not;
    `supersedes` names the event it takes the place of.
    """

    contract_id: Code
    contract_version: Annotated[str, Field(max_length=64)]
    employer_id: Code
    metric_id: Name
    metric_version: Annotated[str, Field(max_length=64)]
    measurement_period: MeasuredPeriod
    as_of: Annotated[Day, Field(description="the day whose close opened the window")]
    stratum: Whole = ""
    unit: Literal["people", "total", "percent", "cents"]
    numerator: int | None = None
    denominator: int | None = None
    value: Decimal4 = None
    ci_low: Decimal4 = None
    ci_high: Decimal4 = None
    benchmark_id: Annotated[Code | None, Field(description="the term of the sheet it is compared with")] = None
    suppression: Withheld | None = None
    supersedes: Annotated[str | None, Field(pattern=r"^[0-9a-f-]{36}$")] = None
    run_id: Annotated[str, Field(max_length=64)]
    inputs_digest: Digest

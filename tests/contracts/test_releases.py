"""Windows, and a release's figures as events: what each says, and what none of them says."""

from __future__ import annotations

from datetime import date

import pytest

from contracts.disclosure_figures import Count, Given, Parts, Period, Report
from contracts.disclosure_gate import gate
from contracts.employers import CONTRACT
from contracts.events.releases import EmployerOutcomeReported, OutcomesReleased, ReleasedFigure, ReleasedPeriod
from contracts.releases import CALL, SETTLED, NoSuchWindow, benchmarks, events, outcome, released, window
from contracts.roster import bundled_sheet
from contracts.terms import TermSheet

FIRST = Period(date(2025, 1, 1), date(2025, 6, 30))
SECOND = Period(date(2025, 7, 1), date(2025, 12, 31))
FIGURES: tuple[Given, ...] = (
    Count("covered", 9_000),
    Count("episodes", 200, "covered"),
    Parts("episodes", (("breast", 150), ("lung", 45), ("myeloma", 5))),
    Count("M14 of", 80, "episodes"),
    Count("M14", 60, "M14 of"),
    Count("M19", 6, "episodes"),
)


def period_of(
    figures: tuple[Given, ...], period: Period = FIRST, *earlier: ReleasedPeriod, run: str = "r1"
) -> ReleasedPeriod:
    gated = gate(Report(period, figures), [outcome(one) for one in earlier])
    fresh = ReleasedPeriod(
        from_on=period.first_on, through_on=period.last_on, run_id=run, inputs_digest="0" * 64, terms_version="2026.1",
        figures=(),
    )  # fmt: skip
    return released(gated, [one for one in earlier if one.from_on == period.first_on], fresh)


def release(ordinal: int, *periods: ReleasedPeriod, call_cents: int | None = None) -> OutcomesReleased:
    return OutcomesReleased(
        payer="employers", plan="acme", by="operator/test", contract=CONTRACT, ordinal=ordinal,
        window_on=date(2025, 12, 31), periods=periods, call_cents=call_cents, call_cut={"0": 7},
    )  # fmt: skip


def told(act: OutcomesReleased) -> dict[tuple[str, str], EmployerOutcomeReported]:
    return {(one.metric_id, one.stratum): one for _, one in events(act)}


def test_a_window_opens_half_a_year_after_its_half_year() -> None:
    sheet = TermSheet(bundled_sheet(CONTRACT)[2])
    found = window(sheet, "2025-01-01")
    assert (found.period, found.opens_on) == (FIRST, "2025-12-31")
    assert window(sheet, "2025-07-01").opens_on == "2026-06-30"
    for day in ("2025-01-02", "2025-04-01"):
        with pytest.raises(NoSuchWindow):
            window(sheet, day)


def test_a_count_is_told_of_its_whole_with_an_interval() -> None:
    row = told(release(1, period_of(FIGURES)))["M14", ""]
    assert (row.numerator, row.denominator, row.value) == (60, 80, "0.7500")
    assert (row.ci_low, row.ci_high) == ("0.6452", "0.8319")
    assert row.suppression is None


def test_whatever_is_withheld_says_so_with_its_interval_and_no_reason() -> None:
    rows = told(release(1, period_of(FIGURES)))
    small = rows["M19", ""]
    assert (small.numerator, small.denominator, small.value, small.ci_low) == (None, 200, None, None)
    assert small.suppression is not None and small.suppression.model_dump(exclude_none=True) == {
        "code": "withheld",
        "numerator": (0, 200),
    }
    assert [rows["episodes", cancer].numerator for cancer in ("breast", "lung", "myeloma")] == [150, None, None]
    said = "".join(one.model_dump_json() for one in rows.values())
    assert "11 inside" not in said and "companion" not in said and "held" not in said.replace("withheld", "")


def test_a_funding_call_is_one_amount_or_pending() -> None:
    assert told(release(1, period_of(FIGURES), call_cents=31_000_00))[CALL, ""].numerator == 31_000_00
    pending = told(release(1, period_of(FIGURES)))[CALL, ""]
    assert pending.numerator is None and pending.suppression is not None


def test_what_was_settled_is_one_amount_or_pending_and_unsaid_in_a_release_of_before() -> None:
    act = release(1, period_of(FIGURES))
    assert (SETTLED, "") not in told(act)
    pending = told(act.model_copy(update={"settled_through": 7}))[SETTLED, ""]
    assert pending.numerator is None and pending.suppression is not None
    assert pending.suppression.model_dump(exclude_none=True) == {"code": "withheld", "numerator": (None, None)}
    moved = told(act.model_copy(update={"settled_through": 7, "settled_cents": -2_340_00}))[SETTLED, ""]
    assert (moved.numerator, moved.unit, moved.suppression) == (-2_340_00, "cents", None)


def test_a_guarantee_is_measured_by_the_whole_per_cent_that_is_shown() -> None:
    """(0.55 - 0.52) / (0.55 - 0.45) = 0.3 of the fees at risk go back; of a withheld rate nothing is said."""
    period = period_of(FIGURES)

    def missed(*shown: ReleasedFigure) -> str | None:
        figures = (*period.figures, *shown)
        kept = period.model_copy(update={"guarantee": ("0.5500", "0.4500"), "figures": figures})
        rows = told(release(1, kept))
        assert (rows["guarantee", "promised"].value, rows["guarantee", "floor"].value) == ("0.5500", "0.4500")
        assert (rows["guarantee", "missed"].suppression is None) is bool(rows["guarantee", "missed"].value)
        return rows["guarantee", "missed"].value

    rate = ReleasedFigure(name="RTW/26", kind="percent", low=0, high=100)
    assert [missed(rate.model_copy(update={"value": value})) for value in (52, 60, 40, 55)] == [
        "0.3000", "0.0000", "1.0000", "0.0000",
    ]  # fmt: skip
    assert (missed(rate), missed()) == (None, None)
    assert {"guarantee", "funding-call"} & {name for name, _ in told(release(1, period))} == {"funding-call"}


def test_a_figure_names_the_term_it_is_compared_with_shown_or_withheld_as_the_period_was_first_told() -> None:
    sheet = TermSheet(bundled_sheet(CONTRACT)[2])
    marks = benchmarks(sheet, "2025-01-01")
    assert {("M3", "quality_goals"), ("RTW/26", "guarantee_benchmark")} <= set(marks)
    figures = (
        Count("covered", 9_000),
        Count("M18", 60, "covered"),
        Count("M16 of", 8, "covered"),
        Count("M16", 6, "M16 of"),
        Count("M19", 60, "covered"),
    )
    first = period_of(figures)
    period = first.model_copy(update={"benchmarks": marks, "guarantee": ("0.5500", "0.4500")})
    rows = told(release(1, period))
    named = {name: one.benchmark_id for (name, _), one in rows.items() if one.benchmark_id}
    assert named == {"M18": "quality_goals", "M16": "quality_goals", "guarantee": "guarantee_benchmark"}
    assert rows["M18", ""].numerator == 60 and rows["M16", ""].numerator is None
    gated = gate(Report(FIRST, figures), [outcome(first)])
    assert released(gated, [first], period).benchmarks == ()
    assert released(gated, [], period).benchmarks == marks


def test_a_period_that_was_told_without_its_guarantee_is_told_so_again() -> None:
    first = period_of(FIGURES)
    gated = gate(Report(FIRST, FIGURES), [outcome(first)])
    fresh = first.model_copy(update={"guarantee": ("0.5500", "0.4500")})
    assert released(gated, [first], fresh).guarantee is None
    assert released(gated, [], fresh).guarantee == ("0.5500", "0.4500")


def test_a_period_told_again_unchanged_says_the_same_under_new_ids() -> None:
    first = period_of(FIGURES)
    again, new = period_of(FIGURES, FIRST, first, run="r2"), period_of(FIGURES, SECOND, first, run="r2")
    assert again == first
    before = dict(events(release(1, first)))
    after = dict(events(release(2, again, new)))
    assert not before.keys() & after.keys()
    of_first = {name: one for name, one in after.items() if one.measurement_period.from_on == FIRST.first_on}
    superseded = {one.supersedes: one for one in of_first.values()}
    for name, one in before.items():
        if one.metric_id != CALL:
            assert superseded[name].model_copy(update={"supersedes": None}) == one


def test_a_correction_that_is_held_back_looks_like_no_correction() -> None:
    first = period_of(FIGURES)
    more = Count("episodes", 204, "covered"), Parts("episodes", (("breast", 154), ("lung", 45), ("myeloma", 5)))
    episodes = FIGURES[0], *more, *FIGURES[3:]
    held = period_of(episodes, FIRST, first, run="r2")
    assert (held.held, first.held) == (True, False)
    new = period_of(FIGURES, SECOND, first)
    assert dict(events(release(2, held, new))) == dict(events(release(2, first, new)))

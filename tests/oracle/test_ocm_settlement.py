"""OCM settles a period by its own clauses: periods, benchmark, tracks; a history of EOM told under it."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import pytest

from carepact.generate.settling import arrangements, figures, practices
from contracts.cases import Case
from contracts.drafts import Change
from contracts.gathering import Gatherer
from contracts.methods import METHODS
from contracts.period import Period, period_of
from contracts.reference_values import References
from contracts.roster import bundled_sheet, contract_digest
from contracts.settled import Settlement
from contracts.settlement import settle
from contracts.settlement_payments import operands
from contracts.terms import TermSheet
from contracts.trial.answer import answer, find
from tests.oracle.gathered import Recorded
from tests.oracle.ocm_settlement import Told as Wanted
from tests.oracle.ocm_settlement import collect
from tests.oracle.ocm_settlement import settle as account_of
from tests.oracle.settlement import Account, Figures, period_first
from tests.oracle.settling import PERIODS, make

OCM, IMAGINED = TermSheet(bundled_sheet("ocm")[2]), bundled_sheet("ocm/eom-years")[2]


@pytest.mark.parametrize(
    ("number", "first", "last", "over", "due"),
    [
        (1, "2016-07-01", "2017-01-01", "2017-06-30", "2017-08-30"),
        (2, "2017-01-02", "2017-07-01", "2017-12-31", "2018-02-28"),
        (3, "2017-07-02", "2018-01-01", "2018-06-30", "2018-08-30"),
    ],
)
def test_periods_after_the_first_begin_a_day_after_the_half_year(
    number: int, first: str, last: str, over: str, due: str
) -> None:
    assert Period.of(OCM, number, "initial") == Period(number, first, last, over, due)
    assert (period_of(OCM, first), period_of(OCM, last)) == (number, number)


@dataclass(frozen=True)
class Told:
    """A history of EOM under OCM: what was settled, its cases, and what an independent account comes to."""

    settled: list[Settlement]
    cases: list[Case]
    accounts: list[Account]
    wanted: list[dict[str, Wanted]]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """A history of EOM with the payer's figures, told under OCM."""
    out = tmp_path_factory.mktemp("ocm")
    made = make(out, 60, seed=9, variants=1, known_through=date(2025, 6, 30))
    more = out / "ocm.ndjson"
    more.write_bytes(b"".join(line + b"\n" for line in _figures()))
    core = Recorded("medicare")
    for path in (made.practices, made.figures, more, made.all):
        core.publish(path)
    gatherer = Gatherer("medicare", "ocm", 0)
    for fact in Change(sheet=IMAGINED, clauses=contract_digest("ocm")).apply(core.facts):
        gatherer.take(fact)
    references = References(gatherer.adoption.references)
    cases = list(gatherer.cases(references))
    assert gatherer.failed == [] and {case.exclusion for case in cases} == {""}
    sheet = TermSheet(gatherer.adoption.sheets[""].content)
    population, figures = collect(made.all, made.practices), Figures(made.practices, made.figures, more)
    return Told(
        [settle(METHODS["ocm"], sheet, gatherer.adoption, references, n, "true-up", cases) for n in PERIODS],
        cases,
        population.accounts,
        [account_of(population, figures, n) for n in PERIODS],
    )


def _figures() -> Iterator[bytes]:
    """What OCM asks of the payer beside EOM's figures: quality, revenue, one trend, novel drugs over all cancers."""
    every = practices(1)
    yield from (line.replace(b"arrangement-", b"ocm-arrangement-") for line in arrangements(_alternative(every)))
    yield from (line.replace(b"figure-", b"ocm-figure-") for line in figures(_values(every)))


def _alternative(every: list[str]) -> Iterator[tuple[str, str, int]]:
    for tin in every[4:8]:
        yield tin, "alternative", 2


def _values(every: list[str]) -> Iterator[tuple[str, str, str, str, str]]:
    for period in PERIODS:
        on = period_first(period).isoformat()
        yield "novel_comparison_share", f"{period}", "0.05", "fraction", on
        if period % 2:
            yield "trend_factor", f"{period}", f"1.1{period}", "factor", on
        for measure, rate in (("OCM-1", "5"), ("OCM-2", "20"), ("OCM-3", "40")):
            yield "quality_cut", f"{period}/{measure}/8", rate, "per cent", on
        for i, tin in enumerate(every):
            yield "quality_points", f"{tin}/{period}/OCM-5", f"{(i + period) % 11}", "points", on
            yield "practice_revenue", f"{tin}/{period}", f"{90000 + 1000 * i}.00", "USD", on


@pytest.fixture(scope="module")
def settled(told: Told) -> list[Settlement]:
    """The settlements alone."""
    return told.settled


def test_the_account_imports_nothing_of_the_product() -> None:
    tree = ast.parse(Path(__file__).with_name("ocm_settlement.py").read_text())
    names = {(n.module or "").split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert names <= {"__future__", "collections", "dataclasses", "datetime", "fractions", "pathlib", "tests"}


def test_every_episode_is_what_an_independent_account_comes_to(told: Told) -> None:
    wanted = {
        (a.episode.member[2], a.episode.start.isoformat()): (
            a.episode.end.isoformat(), a.period, a.episode.cancer_type, a.episode.void_reason, a.episode.practice,
            a.settles, a.cost,
        )
        for a in told.accounts
    }  # fmt: skip
    got = {
        (c.member.split("|")[2], c.started_on): (
            c.ends_on, c.period, c.cancer_type, c.void_reason, c.practice, c.settles, c.expenditure_cents,
        )
        for c in told.cases
        if c.episode_id
    }  # fmt: skip
    assert got == wanted


def test_every_practice_s_result_is_what_an_independent_account_comes_to(told: Told) -> None:
    seen: Counter[str] = Counter()
    for settlement, wanted in zip(told.settled, told.wanted, strict=True):
        for practice, group in settlement.practices:
            one = wanted.get(practice.name, Wanted())
            mine = sorted((p.case.started_on, p.counted_cents, p.benchmark_cents) for p in practice.priced)
            assert mine == sorted((a.episode.start.isoformat(), a.counted, a.benchmark) for a in one.episodes)
            assert (practice.share_cents, practice.recouped_cents) == (one.share, one.recouped), practice.name
            if group is not None and practice.priced:
                assert group.result is not None, group.pending
                assert (group.arrangement, group.result.zone) == (one.track, one.zone)
                seen.update([f"{one.zone} {one.track}", f"tier {one.tier}", *(["pool"] if group.pool else [])])
            seen["novel"] += one.novel
            seen["recouped"] += bool(one.recouped)
    print(dict(sorted(seen.items())))
    cells = [f"{zone} {track}" for zone in ("earned", "owed") for track in ("two_sided", "alternative")]
    asked = [*cells, "earned one_sided", "neutral one_sided", "tier 75", "tier 50", "tier 0", "pool", "novel"]
    assert {name: seen[name] for name in (*asked, "recouped") if not seen[name]} == {}


def test_an_episode_s_benchmark_is_baseline_experience_and_trend(settled: list[Settlement]) -> None:
    priced = [one for settlement in settled for group in settlement.groups for one in group.priced]
    assert len(priced) >= 40
    for one in priced:
        exact = one.baseline * one.experience * one.trend * 100
        assert one.trended_cents == int(exact.quantize(Decimal(1), rounding=ROUND_HALF_UP))
        assert one.clinical == 1


def test_a_track_without_a_downside_owes_nothing_and_the_other_does(settled: list[Settlement]) -> None:
    groups = [group for settlement in settled for group in settlement.groups if group.result is not None]
    assert {group.arrangement for group in groups} == {"one_sided", "two_sided", "alternative"}
    assert all(group.amount_cents >= 0 for group in groups if group.arrangement == "one_sided")
    assert any(group.amount_cents > 0 for group in groups)
    assert any(group.amount_cents < 0 for group in groups if group.arrangement == "two_sided")


def test_what_is_given_back_to_the_calculator_gives_the_same_cents(settled: list[Settlement]) -> None:
    trial, tried = find("ocm", "reconciliation"), 0
    for settlement in settled:
        for group in settlement.groups:
            if (given := operands(settlement, group)) is not None and group.result is not None:
                told = answer(trial, dict(given), "ocm/eom-years")
                assert (told["pbp_cents"], told["pbr_cents"]) == (group.result.pbp_cents, group.result.pbr_cents)
                tried += 1
    assert tried > 10

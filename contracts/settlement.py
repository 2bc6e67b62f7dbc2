"""A performance period of Medicare EOM settled: each practice's episodes, and what its group earns or owes.

`settle` reads as the model's payment methodology does: which episodes count and for what (EOM 1.8), what they were
expected to cost (3), pools (4.4), quality (4.2), target and result (4.3), and billed months that come back (2.4). It is
pure: the same cases, terms and figures give the same result. What keeps a group from being settled is named in
`pending`, and then nothing moves; `said` names what was not known and left out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from contracts import coverage
from contracts.benchmark import Priced, price, with_novel_therapy
from contracts.cases import Case, MonthlyLine
from contracts.decision import performance_period
from contracts.determining import parted
from contracts.eom_settlement import NovelTherapy, Reconciled, novel_therapy, reconcile
from contracts.exact import exactly
from contracts.meos_lines import OWED
from contracts.parts import Adoption, Ref
from contracts.period import Period
from contracts.quality import Quality, score
from contracts.reference_values import Reference, References
from contracts.terms import TermSheet
from contracts.units import ZERO, dollars

GAF_STEP = Decimal("0.0000001")
ARRANGEMENTS = ("RA1", "RA2")


@dataclass(slots=True)
class Practice:
    """One practice: its settled episodes with their prices, the others attributed to it, and its billed months.

    `share_cents` is its part of the group's result; `recouped` are the lines that come back.
    """

    name: str
    pool: str = ""
    takes_part: bool = False
    priced: list[Priced] = field(default_factory=list)
    others: list[Case] = field(default_factory=list)
    monthly: list[MonthlyLine] = field(default_factory=list)
    recouped: list[MonthlyLine] = field(default_factory=list)
    novel: dict[str, NovelTherapy] = field(default_factory=dict)
    arrangement: str = ""
    gaf: Reference | None = None
    refs: list[Ref] = field(default_factory=list)
    share_cents: int = 0

    @property
    def benchmark_cents(self) -> int:
        """Of all its settled episodes."""
        return sum(one.benchmark_cents for one in self.priced)

    @property
    def actual_cents(self) -> int:
        """What counts of their cost."""
        return sum(one.counted_cents for one in self.priced)

    @property
    def recouped_cents(self) -> int:
        """What comes back of billed months."""
        return sum(line.paid_cents for line in self.recouped)


@dataclass(slots=True)
class Group:
    """Practices settled together: a pool, or one practice alone (`pool` '')."""

    pool: str
    practices: list[Practice]
    arrangement: str = ""
    gaf: Decimal = ZERO
    quality: Quality | None = None
    result: Reconciled | None = None
    pending: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    @property
    def priced(self) -> list[Priced]:
        """All settled episodes."""
        return [one for practice in self.practices for one in practice.priced]

    @property
    def amount_cents(self) -> int:
        """What moves: above nought to the practices, below to the payer."""
        return 0 if self.result is None or self.pending else self.result.pbp_cents - self.result.pbr_cents


@dataclass(slots=True)
class Settlement:
    """A period's groups, and the practices that no group has: those that do not take part, and '' for none."""

    period: Period
    run: str
    groups: list[Group]
    outside: list[Practice]

    @property
    def practices(self) -> list[tuple[Practice, Group | None]]:
        """All practices by name, each with its group."""
        found: list[tuple[Practice, Group | None]] = [(p, group) for group in self.groups for p in group.practices]
        found += [(practice, None) for practice in self.outside]
        return sorted(found, key=lambda one: one[0].name)


Excepted = frozenset[tuple[str, str, str]]
"""(member, practice, month) of months whose payment was remitted by itself and so is open there, not here."""


@exactly
def settle(
    sheet: TermSheet,
    adoption: Adoption,
    references: References,
    period_number: int,
    run: str,
    cases: Iterable[Case],
    failed: Sequence[str] = (),
    excepted: Excepted = frozenset(),
) -> Settlement:
    """Settle one period. `cases` may be of any periods; `failed` members' facts could not be read."""
    period = Period.of(sheet, period_number, run)
    practices = _practices(sheet, adoption, references, period, cases, excepted)
    groups = _groups(practices)
    for group in groups:
        _novel_therapy(sheet, references, period, group)
        _settle(sheet, references, period, group)
        if failed:
            group.pending.append("member_parked")
        _divide(group)
        if adoption.closed_through < period.due_on:
            group.said.append("run_out_not_closed")
        group.said = list(dict.fromkeys(group.said))
    outside = [practice for practice in practices if not practice.takes_part]
    return Settlement(period, run, groups, outside)


def of_period(case: Case, line: MonthlyLine) -> int:
    """The period a billed month belongs to: its episode's, or by its day where there is no episode."""
    return case.period if case.episode_id else performance_period(line.day)


def _practices(
    sheet: TermSheet,
    adoption: Adoption,
    references: References,
    period: Period,
    cases: Iterable[Case],
    excepted: Excepted,
) -> list[Practice]:
    """Each practice that took part in the period, has episodes of it, or billed months in it; by name."""
    found: dict[str, Practice] = {}

    def practice(name: str) -> Practice:
        if name not in found:
            found[name] = Practice(name)
        return found[name]

    for name, spans in adoption.practices.items():
        span = coverage.ever(spans, period.first_on, period.last_on)
        if span is not None:
            one = practice(name)
            one.takes_part, one.pool = True, span.code
            one.refs.append(span.ref)
    for case in cases:
        if case.episode_id and case.period == period.number:
            one = practice(case.practice)
            if case.settles:
                one.priced.append(price(sheet, references, case, period.number, period.first_on))
            else:
                one.others.append(case)
        for line in case.meos:
            if of_period(case, line) == period.number:
                one = practice(line.practice)
                one.monthly.append(line)
                held = (case.member, line.practice, line.month) in excepted
                if line.disposition != OWED and line.paid_cents > 0 and not held:
                    one.recouped.append(line)
    for name, one in found.items():
        _terms_of(adoption, references, period, name, one)
        one.priced.sort(key=lambda p: (p.case.started_on, p.case.episode_id))
        one.others.sort(key=lambda c: (c.started_on, c.episode_id))
        one.monthly.sort(key=lambda m: (m.day, m.ref[2]))
        one.recouped.sort(key=lambda m: (m.day, m.ref[2]))
    return [found[name] for name in sorted(found)]


def _terms_of(adoption: Adoption, references: References, period: Period, name: str, one: Practice) -> None:
    """The practice's risk arrangement, the newest word of the latest period it names, and its geography."""
    best: list[Any] | None = None
    for said in adoption.arrangements.get(name, ()):
        if said[0] <= period.number and (best is None or said[0] >= best[0]):
            best = said
    if best is not None:
        one.arrangement = best[1]
        one.refs.append(tuple(best[2]))
    one.gaf = references.known("geographic_adjustment", name, period.first_on)


def _groups(practices: Sequence[Practice]) -> list[Group]:
    """EOM 4.4: members of a pool together, each other practice alone."""
    pools: dict[str, Group] = {}
    for practice in practices:
        if practice.takes_part:
            key = f"pool {practice.pool}" if practice.pool else f"practice {practice.name}"
            pools.setdefault(key, Group(practice.pool, [])).practices.append(practice)
    return [pools[key] for key in sorted(pools)]


def _novel_therapy(sheet: TermSheet, references: References, period: Period, group: Group) -> None:
    """EOM 3.6, for each practice and cancer: its share of novel spending beside that of others."""
    for practice in group.practices:
        by_cancer: dict[str, list[Priced]] = defaultdict(list)
        for one in practice.priced:
            by_cancer[one.case.cancer_type].append(one)
        for cancer, priced in sorted(by_cancer.items()):
            comparison = references.known("novel_comparison_share", f"{period.number}/{cancer}", period.first_on)
            if comparison is None:
                group.said.append("no_novel_comparison")
                continue
            trended = sum(one.trended_cents for one in priced)
            actual = sum(one.counted_cents for one in priced)
            if trended <= 0 or actual <= 0:
                continue
            novel = sum(one.novel_cents for one in priced)
            added = novel_therapy(
                sheet, period.first_on, dollars(actual), dollars(novel), comparison.value.number, dollars(trended)
            )
            practice.novel[cancer] = added
            for one in priced:
                if one.line is not None:
                    one.values, one.refs = (*one.values, comparison.value), [*one.refs, comparison.ref]
                    with_novel_therapy(sheet, one, added.factor)


def _settle(sheet: TermSheet, references: References, period: Period, group: Group) -> None:
    """EOM 4.2 and 4.3: quality, then target, threshold and result, as far as all that is needed is known."""
    priced, pending = group.priced, group.pending
    arrangements = {practice.arrangement for practice in group.practices}
    group.arrangement = min(arrangements) if len(arrangements) == 1 else ""
    if len(arrangements) > 1:
        pending.append("pool_arrangements_differ")
    elif group.arrangement not in ARRANGEMENTS:
        pending.append("no_arrangement")
    counts = {practice.name: len(practice.priced) for practice in group.practices}
    cases = [one.case for one in priced]
    group.quality = score(sheet, references, period.number, period.first_on, cases, counts, group.pool)
    if not priced:
        group.said.append("no_episodes")
        return
    pending += sorted({name for one in priced for name in one.missing})
    if group.quality.score is None:
        pending.append("no_quality_score")
    gaf = _geography(group)
    if gaf is None:
        pending.append("no_geography")
    if not any(one.limits for one in priced):
        group.said.append("no_winsor_limits")
    if pending or gaf is None or group.quality.score is None:
        return
    group.gaf = gaf
    benchmark = sum(practice.benchmark_cents for practice in group.practices)
    actual = sum(practice.actual_cents for practice in group.practices)
    group.result = reconcile(
        sheet, period.first_on, group.arrangement, dollars(benchmark), dollars(actual), group.quality.score, gaf
    )


def _geography(group: Group) -> Decimal | None:
    """The practice's factor; of a pool its practices' weighted by benchmark, to seven decimals."""
    there = [practice for practice in group.practices if practice.priced]
    if any(practice.gaf is None for practice in there):
        return None
    factors = [(one.gaf.value.number, one.benchmark_cents) for one in there if one.gaf is not None]
    if len(factors) == 1:
        return factors[0][0]
    weight = sum(cents for _, cents in factors)
    if not weight:
        return None
    whole = sum((factor * cents for factor, cents in factors), ZERO) / weight
    return whole.quantize(GAF_STEP, rounding=ROUND_HALF_UP)


def _divide(group: Group) -> None:
    """Each practice's part of the group's result, by benchmark; the parts sum to the whole."""
    weights = [practice.benchmark_cents for practice in group.practices]
    for practice, part in zip(group.practices, parted(group.amount_cents, weights), strict=True):
        practice.share_cents = part


def components(practice: Practice) -> Mapping[str, int]:
    """Settled episodes' spending by who was paid, in cents before any factor."""
    found: dict[str, int] = defaultdict(int)
    for one in practice.priced:
        for name, cents in one.case.components.items():
            found[name] += cents
    return dict(sorted(found.items()))

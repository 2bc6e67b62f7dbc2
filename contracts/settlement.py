"""A performance period settled: each practice's episodes, and what its group earns or owes.

`settle` reads as the payment methodology of EOM does, which OCM and BCBS South Carolina follow by clauses of their own
(`contracts.methods`): which episodes count and for what (EOM 1.8), what they were expected to cost (3), pools (4.4),
quality (4.2), target and result (4.3), and billed months that come back (2.4). It is pure: the same cases, terms and
figures give the same result. What keeps a group from being settled is named in `pending`, and then nothing moves;
`said` names what was not known and left out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from contracts import coverage
from contracts.cases import Case, MonthlyLine
from contracts.determining import parted
from contracts.exact import exactly
from contracts.meos_lines import OWED
from contracts.parts import Adoption
from contracts.period import Period, period_of
from contracts.quality import score
from contracts.reference_values import References
from contracts.settled import Group, Method, Practice, Settlement
from contracts.terms import TermSheet

Excepted = frozenset[tuple[str, str, str]]
"""(member, practice, month) of months whose payment was remitted by itself and so is open there, not here."""


@exactly
def settle(
    method: Method,
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
    practices = _practices(method, sheet, adoption, references, period, cases, excepted)
    groups = _groups(practices)
    for group in groups:
        method.adjust(sheet, references, period, group)
        _settle(method, sheet, references, period, group)
        if failed:
            group.pending.append("member_parked")
        _divide(group)
        if adoption.closed_through < period.due_on:
            group.said.append("run_out_not_closed")
        if method.illustrative:
            group.said.append("illustrative_terms")
        group.said = list(dict.fromkeys(group.said))
    outside = [practice for practice in practices if not practice.takes_part]
    return Settlement(method, period, run, groups, outside)


def _practices(
    method: Method,
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

    types = sheet.on(method.types, period.first_on).value.split() if method.types else None
    for name, spans in adoption.practices.items():
        span = coverage.ever(spans, period.first_on, period.last_on)
        if span is not None:
            one = practice(name)
            one.takes_part, one.pool = True, span.code
            one.refs.append(span.ref)
    for case in cases:
        if case.episode_id and case.period == period.number:
            one = practice(case.practice)
            if case.settles and (types is None or case.cancer_type in types):
                one.priced.append(method.price(sheet, references, case, period))
            else:
                one.others.append(case)
        for line in case.meos:
            if _period_of(sheet, case, line) == period.number:
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


def _period_of(sheet: TermSheet, case: Case, line: MonthlyLine) -> int:
    """The period a billed month belongs to: its episode's, or by its day where there is no episode."""
    return case.period if case.episode_id else period_of(sheet, line.day)


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


def _settle(method: Method, sheet: TermSheet, references: References, period: Period, group: Group) -> None:
    """EOM 4.2 and 4.3: quality, then target, threshold and result, as far as all that is needed is known."""
    priced, pending = group.priced, group.pending
    counts = {practice.name: len(practice.priced) for practice in group.practices}
    cases = [one.case for one in priced]
    group.quality = score(sheet, references, period.number, period.first_on, cases, counts, group.pool)
    if not priced:
        group.said.append("no_episodes")
        return
    pending += sorted({name for one in priced for name in one.missing})
    if group.quality.score is None:
        pending.append("no_quality_score")
    method.ready(sheet, references, period, group)
    if not pending:
        group.result = method.reconcile(sheet, period, group)


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

"""What a settlement moves, as payments: new determinations, and the exact reversals of what an earlier run determined.

A run that comes to what is in force moves nothing. One that comes to another sum takes the earlier back and determines
anew, so that what moves is the difference (EOM 4.3, true-up).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from contracts.clauses import Line
from contracts.determining import Asked, Maker, Said, Standing, Wanted, parted
from contracts.meos_lines import OWED
from contracts.outcome import Payment
from contracts.parts import Ref
from contracts.reference_values import Reference
from contracts.settled import Group, Operands, Practice, Settlement
from contracts.terms import DatedValue, TermSheet
from contracts.units import money

RECOUPMENT = "MEOS_RECOUPMENT"


def moved(
    asked: Asked,
    sheet: TermSheet,
    settlement: Settlement,
    practice: Practice,
    group: Group | None,
    standing: Sequence[Standing],
    pack_digest: str,
) -> list[Payment]:
    """What a run moves for one practice, each reversal before what takes its place.

    While a group is pending its earlier result stands; a practice that does not take part has none.
    """
    maker, method = _Maker(asked, sheet, settlement, practice, pack_digest), settlement.method
    wanted: dict[str, Wanted] = {}
    if group is not None and not group.pending and practice.share_cents:
        kind = method.earned if practice.share_cents > 0 else method.owed
        wanted[kind] = (practice.share_cents, *maker.result(group))
    if practice.recouped:
        wanted[RECOUPMENT] = (-practice.recouped_cents, *maker.recoupment())
    kinds = [RECOUPMENT] if group is not None and group.pending else [method.earned, method.owed, RECOUPMENT]
    maker.settle_up(wanted, standing, kinds)
    return maker.made


class _Maker(Maker):
    """Makes one practice's payments of one run."""

    def __init__(
        self, asked: Asked, sheet: TermSheet, settlement: Settlement, practice: Practice, pack_digest: str
    ) -> None:
        super().__init__(asked, sheet, settlement.period, settlement.run, practice.name)
        self.settlement, self.practice = settlement, practice
        self.pack = f"contest pack sha256:{pack_digest}"

    def result(self, group: Group) -> tuple[list[Line], list[tuple[Ref, str]]]:
        """The lines and facts of a performance payment or recoupment."""
        assert group.result is not None and group.quality is not None and group.quality.score is not None
        method, benchmark, episodes = self.settlement.method, group.benchmark_cents, len(group.priced)
        limits = _once(value for one in group.priced for value in one.limits)
        lines = [
            _told("BENCHMARK", method.expected, f"{episodes} episodes in the {self.pack} = {money(benchmark)}"),
            _told("ACTUAL", method.counted, f"the same episodes = {money(group.actual_cents)}", limits),
            _told("QUALITY", "Aggregate quality score", f"{group.quality.score:f} per cent", group.quality.values),
        ]
        (line,) = group.result.lines
        geography = _once(p.gaf.value for p in group.practices if p.gaf is not None)
        if not group.pool:
            lines.append(Line(line.clause, line.label, line.arithmetic, line.amount_cents, (*line.terms, *geography)))
        else:
            lines.append(_told(line.clause, f"{line.label} of pool {group.pool}", line.arithmetic, line.terms))
            weights, nth = parts(group, self.practice)
            share = pool_share(self.sheet, self.settlement.period.first_on, line.amount_cents, weights, nth)
            label = f"Part of pool {group.pool}'s result"
            lines.append(replace(share, label=label, terms=(*share.terms, *geography)))
        facts = [(ref, "takes part, and under which arrangement") for p in group.practices for ref in p.refs]
        facts += _reference_facts(p.gaf for p in group.practices)
        facts += [(ref, "quality, as the payer says") for ref in group.quality.refs]
        used = {ref: "price, trend or limit of an episode" for one in group.priced for ref in one.refs}
        return lines, [*facts, *used.items()]

    def recoupment(self) -> tuple[list[Line], list[Said]]:
        """A line for each reason, and the billed lines."""
        rule = self.sheet.on(self.settlement.method.recoupment, self.settlement.period.first_on)
        reasons: dict[str, list[int]] = {}
        for one in self.practice.recouped:
            assert one.disposition != OWED
            reasons.setdefault(one.disposition, []).append(one.paid_cents)
        lines = recouped(rule, [(reason, len(paid), sum(paid)) for reason, paid in sorted(reasons.items())])
        facts: list[Said] = [
            (one.ref, f"month {one.month} billed by {one.practice}: {one.disposition.replace('_', ' ')}", one.partition)
            for one in self.practice.recouped
        ]
        return lines, facts


def pool_share(sheet: TermSheet, on: str, amount_cents: int, weights: Sequence[int], nth: int) -> Line:
    """EOM 4.4: the part of a pool's result that its nth practice (from 0) has, by benchmark; parts sum to the whole.

    100.00 by benchmarks of 1,000.00, 1,000.00 and 1,000.00 is 33.34 to the first, 33.33 to each other.
    """
    rule, part = sheet.on("pool_share", on), parted(amount_cents, weights)[nth]
    words = f"{money(amount_cents)} x {money(weights[nth])} / {money(sum(weights))} = {money(part)}, to whole cents"
    return Line("POOL_SHARE", "Part of the pool's result", words, part, (rule,))


def parts(group: Group, practice: Practice) -> tuple[list[int], int]:
    """By what a group's result is divided: each practice's benchmark in cents, and which of them is the practice's."""
    names = [one.name for one in group.practices]
    return [one.benchmark_cents for one in group.practices], names.index(practice.name)


def recouped(rule: DatedValue, reasons: Iterable[tuple[str, int, int]]) -> list[Line]:
    """EOM 2.4: a line for each (reason, months, paid cents): 3 months of another practice, 210.00 paid, come back."""
    return [
        Line(
            RECOUPMENT,
            f"Billed months that are not owed: {reason.replace('_', ' ')}",
            f"{months} months, as paid on their claims = {money(paid)}",
            -paid,
            (rule,),
        )
        for reason, months, paid in reasons
    ]


def _told(clause: str, label: str, arithmetic: str, values: Iterable[DatedValue] = ()) -> Line:
    """A line that says something and moves nothing."""
    return Line(clause, label, arithmetic, 0, tuple(values))


def _once(values: Iterable[DatedValue]) -> list[DatedValue]:
    return list(dict.fromkeys(values))


def _reference_facts(references: Iterable[Reference | None]) -> list[tuple[Ref, str]]:
    return [(one.ref, f"{one.value.label} {one.value.value}") for one in references if one is not None]


def operands(settlement: Settlement, group: Group) -> Operands | None:
    """What `contract try` takes to give the group's result again; None while it is pending."""
    return None if group.result is None else settlement.method.operands(settlement.period, group)

"""A settlement of many episodes, by processor time: evidence gathered from facts, then a period settled from it.

Facts are those of the pipeline's population, decoded beforehand. Their episodes are gathered once and, for the period,
taken again under other ids until there are as many as asked for; every practice gets its payments, statement and pack.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterable
from copy import copy
from dataclasses import dataclass
from datetime import date

from bench.fold import CONTRACT, PAYER, TOPIC, adoption_facts, member_facts
from carepact.generate.bench import bench_events
from carepact.generate.codes import CANCERS
from carepact.generate.practices import PRACTICES
from contracts.cases import Case
from contracts.determining import Asked
from contracts.envelope import Fact
from contracts.events import ReferenceValueSet, RiskArrangementSet
from contracts.gathering import Gatherer
from contracts.methods import METHODS
from contracts.reference_values import References
from contracts.roster import contract_digest
from contracts.settlement import settle
from contracts.settlement_payments import moved
from contracts.statement import contest_pack, statement
from contracts.terms import TermSheet
from projections.settlements import packed
from streams.beside import no_collector

FROM = date(2023, 7, 1)


@dataclass(frozen=True)
class SettlingFigures:
    """Processor seconds, and what was done in them."""

    facts: int
    gathered: int
    gather_seconds: float
    episodes: int
    settle_seconds: float
    pack_seconds: float
    payments: int

    @property
    def seconds(self) -> float:
        """For the episodes asked for: gathering them at the measured rate, settling them, and packing them."""
        return self.gather_seconds * self.episodes / self.gathered + self.settle_seconds + self.pack_seconds


def run(episodes: int, members: int = 1_500) -> SettlingFigures:
    """Gather the population, settle `episodes` of its first period."""
    facts = [*adoption_facts(), *_figures()]
    facts += member_facts(bench_events(members, members * 60), len(facts))
    gatherer = Gatherer(PAYER, CONTRACT, 0)
    gc.set_threshold(50_000, 20, 50)  # as in a worker: what is gathered lives long
    with no_collector():  # as a log is read and judged
        begun = time.process_time()
        for fact in facts:
            gatherer.take(fact)
        references = References(gatherer.adoption.references)
        cases = list(gatherer.cases(references))
        gather_seconds = time.process_time() - begun
    gathered = sum(case.episode_id != "" for case in cases)
    gc.freeze()
    wanted = list(_again([case for case in cases if case.period == 1 and case.settles], episodes))
    held = gatherer.adoption.sheets[""]
    sheet = TermSheet(held.content)
    begun = time.process_time()
    settlement = settle(METHODS[CONTRACT], sheet, gatherer.adoption, references, 1, "initial", wanted)
    settle_seconds = time.process_time() - begun
    asked = Asked(PAYER, CONTRACT, contract_digest(CONTRACT), "request", "requests", 0, TOPIC, 0, held.ref)
    begun = time.process_time()
    payments = 0
    for practice, group in settlement.practices:
        packed(contest_pack(settlement, practice, PAYER, TOPIC))
        made = moved(asked, sheet, settlement, practice, group, [], "0" * 64)
        statement(sheet, gatherer.adoption, settlement, practice, group, [], made)
        payments += len(made)
    pack_seconds = time.process_time() - begun
    return SettlingFigures(len(facts), gathered, gather_seconds, len(wanted), settle_seconds, pack_seconds, payments)


def _again(cases: list[Case], episodes: int) -> Iterable[Case]:
    """So many episodes, the same ones under other ids."""
    for n in range(episodes):
        case = copy(cases[n % len(cases)])
        case.episode_id = f"{case.episode_id[:24]}{n:012d}"
        yield case


def _figures() -> Iterable[Fact]:
    said: list[tuple[str, str, str]] = []
    for cancer in CANCERS:
        said += [("baseline_price", cancer, "31000.00"), ("trend_factor", f"1/{cancer}", "1.04")]
        said += [("winsor_high", f"1/{cancer}", "90000.00"), ("winsor_low", f"1/{cancer}", "500.00")]
        said += [("novel_comparison_share", f"1/{cancer}", "0.05")]
    for practice in PRACTICES:
        said += [("experience_adjuster", practice.tin, "0.99"), ("geographic_adjustment", practice.tin, "1.01")]
        said += [("quality_score", f"{practice.tin}/1", "72")]
    for name, key, value in said:
        data = ReferenceValueSet(name=name, key=key, value=value, unit="unit", from_on=FROM, source="illustrative")
        yield Fact(f"{name}{key}", f"{name}{key}", data.type_name(), "", "", data, TOPIC, 0, 0, 0, "")
    for practice in PRACTICES:
        one = RiskArrangementSet(practice=practice.tin, arrangement="RA2", from_period=1)
        yield Fact(practice.tin, practice.tin, one.type_name(), "", "", one, TOPIC, 0, 0, 0, "")

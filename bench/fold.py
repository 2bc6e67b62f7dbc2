"""The fold alone, in memory: facts a second, and what a fact costs in a long history and in short ones.

Run `python -m bench.fold`. Facts are those of `carepact bench pipeline` (one payer, a year of treatment for each
member), decoded before the clock starts; nothing is stored.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import msgspec
import orjson

from carepact.generate import bench_events
from carepact.generate.practices import broadcasts
from carepact.worker_command import COLLECT
from contracts.envelope import Fact, broadcast_fact_id, log_id
from contracts.events import (
    LOG_FACTS,
    ContractAdopted,
    EnrollmentChanged,
    EproResponseReceived,
    ProfessionalClaimReceived,
    TermsAdopted,
    sealed_fields,
    stored,
)
from contracts.outcome import Outcome
from contracts.parts import Adoption, Member
from contracts.roster import bundled_sheet, contract_digest, fold_for
from streams.codec import struct_of

CONTRACT, PAYER = "medicare-eom", "medicare"
TOPIC = f"carepact.{PAYER}.events.v1"
CLAIM, REPORT = ProfessionalClaimReceived.type_name(), EproResponseReceived.type_name()
ENROLLED = EnrollmentChanged.type_name()
CODES = ("J9035", "99214", "85025", "", "80053", "99214", "", "M0010", "85025", "36415")
"""What a history bills in turn; where there is no code, the patient reports."""

LONG_FACTS, SHORT_FACTS = 10_000, 10


@dataclass(frozen=True, slots=True)
class FoldFigures:
    """What one run measured."""

    facts: int
    seconds: float
    payments: int
    versions: int

    @property
    def facts_a_second(self) -> float:
        """Evolved and decided."""
        return self.facts / self.seconds


def adoption_facts() -> list[Fact]:
    """Terms, clauses and practices, as the log opens with them."""
    version, digest, content = bundled_sheet(CONTRACT)
    terms = {"contract": CONTRACT, "sheet_version": version, "digest": digest, "content": content}
    clauses = {"contract": CONTRACT, "digest": contract_digest(CONTRACT), "build": "bench"}
    said: list[tuple[str, dict[str, Any]]] = [(TermsAdopted.type_name(), terms), (ContractAdopted.type_name(), clauses)]
    said += [(one["type"], one["data"]) for one in map(orjson.loads, broadcasts())]
    return list(_facts((type_, data, "") for type_, data in said))


def member_facts(lines: Iterable[bytes], first_offset: int) -> list[Fact]:
    """The facts of generated CloudEvents, each once, under their members' identifiers instead of tokens."""
    seen: set[str] = set()
    said: list[tuple[str, dict[str, Any], str]] = []
    for event in map(orjson.loads, lines):
        name = event.get("id") or ""
        if name in seen:
            continue
        seen.add(name)
        said.append((event["type"], event["data"], event["data"]["person"]["identifier"]["value"]))
    return list(_facts(said, first_offset))


def _facts(said: Iterable[tuple[str, dict[str, Any], str]], first_offset: int = 0) -> Iterator[Fact]:
    for offset, (type_, data, member) in enumerate(said, first_offset):
        model = LOG_FACTS[type_]
        open_part = {key: value for key, value in data.items() if key not in sealed_fields(model)}
        name = log_id(PAYER, "bench", str(offset), member) if member else broadcast_fact_id(PAYER, "bench", str(offset))
        decoded = msgspec.json.decode(orjson.dumps(open_part), type=struct_of(stored(model)))
        yield Fact(name, name, type_, member, "", decoded, TOPIC, 0, offset, 0, "")


def run(opening: list[Fact], known: list[Fact], facts: list[Fact]) -> FoldFigures:
    """Fold facts in order, members kept in memory with everything loaded; the clock starts after those `known`.

    The clock counts this process's CPU time, so that a busy machine changes it little.
    """
    fold = fold_for(CONTRACT, PAYER, Adoption())
    for fact in opening:
        fold.adopt(fact)
    members: dict[str, Member] = {}

    def tell(facts: list[Fact]) -> FoldFigures:
        payments = versions = 0
        begun = time.process_time()
        for fact in facts:
            member = members.get(fact.member)
            if member is None:
                member = members[fact.member] = Member(PAYER, 0, fact.member)
                member.since = ""
            fold.needs(fact)
            outcome: Outcome = fold.apply(member, fact)
            payments += len(outcome.payments)
            versions += len(outcome.episodes)
            member.dirty.clear()
        return FoldFigures(len(facts), time.process_time() - begun, payments, versions)

    tell(known)
    gc.collect()
    gc.set_threshold(*COLLECT)
    gc.freeze()  # the decoded facts wait here as a worker's do not
    figures = tell(facts)
    gc.unfreeze()
    return figures


def histories(opening: list[Fact]) -> tuple[FoldFigures, FoldFigures]:
    """(one member with 10,000 facts over six years, a thousand members with 10 each over two months).

    Both have the same kinds of facts in the same shares: therapy, visits, laboratory, services, reports.
    """
    long = [_told(i, "one", (i * 2_300) // LONG_FACTS) for i in range(LONG_FACTS)]
    few = [_told(i, f"m{i // SHORT_FACTS}", (i % SHORT_FACTS) * 6) for i in range(LONG_FACTS)]
    first = len(opening)
    members = [f"m{i}" for i in range(LONG_FACTS // SHORT_FACTS)]
    one, many = list(_enrolled(["one"], first)), list(_enrolled(members, first))
    first += len(many)
    return run(opening, one, list(_facts(long, first))), run(opening, many, list(_facts(few, first)))


def _enrolled(members: list[str], first_offset: int) -> Iterator[Fact]:
    parts = ("part_a", "part_b")
    return _facts(
        ((ENROLLED, {"coverage": p, "from_on": "2020-01-01"}, m) for m in members for p in parts), first_offset
    )


def _told(number: int, member: str, day: int) -> tuple[str, dict[str, Any], str]:
    """One fact of a treatment: of ten, four are evidence, four only cost, and two are reports."""
    on = (date(2023, 7, 1) + timedelta(days=day)).isoformat()
    code = CODES[number % len(CODES)]
    if not code:
        report = {"response_id": str(number), "instrument": "PRO-CTCAE", "instrument_version": "1", "collected_on": on}
        return REPORT, report, member
    line = {"line": 1, "service_on": on, "code": code, "diagnoses": ["C50911"]}
    lines = [line | {"allowed_cents": 9_800, "paid_cents": 9_800}]
    claim = {"claim_id": f"c{number}", "family": f"c{number}", "effective_on": on, "billing_tin": "570000101"}
    return CLAIM, claim | {"from_on": on, "through_on": on, "lines": lines}, member


def main() -> None:
    """Print both figures."""
    members, events = (int(a) for a in sys.argv[1:3]) if len(sys.argv) > 2 else (1_000, 60_000)
    opening = adoption_facts()
    mixed = run(opening, [], member_facts(bench_events(members, events), len(opening)))
    print(
        f"{mixed.facts:,} facts of {members:,} members: {mixed.facts_a_second:,.0f} facts/s, "
        f"{mixed.payments:,} payments and corrections, {mixed.versions:,} versions of episodes"
    )
    one, many = histories(opening)
    ratio = many.facts_a_second / one.facts_a_second
    print(
        f"one member with {one.facts:,} facts: {1e6 / one.facts_a_second:.1f} us a fact; "
        f"members with {SHORT_FACTS}: {1e6 / many.facts_a_second:.1f} us a fact; ratio {ratio:.2f}"
    )


if __name__ == "__main__":
    main()

"""A member that is forgotten and read back between any two facts makes the very parts of one that stayed in memory."""

from __future__ import annotations

import random
from collections import defaultdict
from datetime import date
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_DNS, uuid5

import pytest

from carepact.generate import write
from contracts.envelope import Fact
from contracts.events import ContractAdopted, DayClosed, Event, MemberFact, TermsAdopted
from contracts.roster import bundled_sheet, contract_digest
from formats.detect import read_file
from formats.reading import ReadFact
from projections.packing import pack
from projections.rows import Rows
from streams.app import folds
from streams.folding import Folder
from streams.member_cache import Budget
from streams.roster import Payer, Roster
from tests.streams.memory_parts import MemoryParts

MEMBERS = 90


@pytest.fixture(scope="module")
def population(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("population")
    write(folder, MEMBERS, 11, 24)
    return folder


def log_of(payer: Payer, folder: Path) -> list[Fact]:
    """The payer's facts in one partition, terms first and a closed day last."""
    facts: list[Fact] = []
    version, digest, content = bundled_sheet(payer.contract)

    def say(event: Event, member: str = "", plan: str = "", name: str = "") -> None:
        event_id = str(uuid5(NAMESPACE_DNS, name or f"{event.type_name()}|{len(facts)}"))
        facts.append(
            Fact(event_id, event_id, event.type_name(), member, plan, event, "log", 0, len(facts), 1, event_id)
        )

    say(TermsAdopted(contract=payer.contract, sheet_version=version, digest=digest, content=content))
    say(ContractAdopted(contract=payer.contract, digest=contract_digest(payer.contract), build="test"))
    seen = set()
    for file in ("practices.ndjson", f"{payer.name}.ndjson"):
        for item in read_file(folder / file):
            if isinstance(item, ReadFact) and item.producer_id not in seen:
                seen.add(item.producer_id)
                who = item.event.person.identifier if isinstance(item.event, MemberFact) and item.event.person else None
                say(item.event, f"{item.plan}|{who.value}" if who else "", item.plan, item.producer_id or "")
    say(DayClosed(through_on=date(2026, 1, 1)))
    return facts


async def folded(payer: Payer, facts: list[Fact], chance: random.Random | None, limit: int) -> dict[str, Any]:
    """Parts with the offset that last changed them, and what was decided; by `chance`, as workers come and go."""
    parts: dict[Any, Any] = {}
    decided: dict[str, list[Any]] = defaultdict(list)

    async def written(rows: Rows) -> None:
        for _, _, token, kind, key, data, offset in (*rows.new_parts, *rows.changed_parts):
            parts[token, kind, key] = data, offset
        for name in ("payments", "spends"):
            decided[name] += [tuple(row) for row in getattr(rows, name)]

    store = MemoryParts(written)
    make = folds(payer)

    def worker(adopted: bytes | None) -> Folder:
        made = Folder(payer.name, payer.contract, "payments", make, Budget(limit))
        made.open(0, adopted)
        return made

    at, folder = 0, worker(None)
    while at < len(facts):
        size = chance.choice((1, 1, 2, 5, 30)) if chance else 2_000
        await folder.fold(facts[at : at + size], store, {})
        folder.commit()
        at += size
        if chance and chance.random() < 0.05:
            folder = worker(pack(folder.adoption(0)))
    return {"parts": parts, **{name: sorted(rows, key=repr) for name, rows in decided.items()}}


@pytest.mark.parametrize("name", Roster.load().names)
async def test_members_that_come_and_go_make_the_same(population: Path, name: str) -> None:
    payer = Roster.load().payer(name)
    facts = log_of(payer, population)
    stayed = await folded(payer, facts, None, 10**9)
    assert stayed["payments"]
    for seed, limit in ((1, 10**9), (2, 0)):
        assert await folded(payer, facts, random.Random(seed), limit) == stayed, f"seed {seed}"

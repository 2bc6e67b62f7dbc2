"""kill -9 of a worker after its intake wrote to the log, before it committed: nothing is lost or counts twice."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from carepact.local.platform import LocalPlatform
from streams.admin import Admin
from streams.broadcasts import adopt
from streams.intake import intake_group
from streams.topics import AGENTS, inbox_topic
from tests.streams.held_worker import SAYS
from tests.streams.test_intake import left_in, send, until
from tests.streams.ways_in import Ways, adoptions, claim, ndjson, ways_in
from tests.streams.workers import watch, workers_on, write_roster

pytestmark = [pytest.mark.platform, pytest.mark.chaos]

MEMBERS = ("1EG4TE5MK73", "2EG4TE5MK74", "3EG4TE5MK75")


@pytest_asyncio.fixture
async def ways(platform: LocalPlatform, space: str, tmp_path: Path) -> AsyncIterator[Ways]:
    async with ways_in(platform, space, tmp_path, "medicare") as made:
        yield made


async def test_a_worker_killed_between_log_and_commit_loses_and_repeats_nothing(
    platform: LocalPlatform, ways: Ways, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant, dsn = ways.payer.name, ways.connections.postgres
    inbox = next(topic for topic in ways.topics if topic.name == inbox_topic(tenant))
    for payer in ways.roster.payers:
        await adopt(ways.connections, ways.writer, replace(ways, payer=payer).door(), adoptions(payer))
    named = [ndjson(claim(member, f"C{n}"), f"c-{n}-{member}") for n in range(30) for member in MEMBERS]
    unnamed = [ndjson(claim(MEMBERS[0], f"D{n}")) for n in range(30)]
    await send(platform, tenant, [*named, *unnamed, b"not json"])

    for name, value in {
        "CAREPACT_HOME": str(platform.home.path),
        "CAREPACT_ROSTER": str(write_roster(ways.roster, tmp_path)),
        "CAREPACT_KEYS": str(ways.keys.path),
        "CAREPACT_POSTGRES": dsn,
    }.items():
        monkeypatch.setenv(name, value)
    victim = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.streams.held_worker"),
        cwd=Path(__file__).parents[2],
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        assert victim.stdout is not None
        async with asyncio.timeout(120):
            assert (await victim.stdout.readline()).decode().strip() == SAYS
        assert victim.returncode is None, "it must be alive to be killed"
    finally:
        if victim.returncode is None:
            victim.kill()
        assert await victim.wait() == -9
    written = len(await ways.facts())
    committed = await asyncio.to_thread(
        Admin(platform.connections(AGENTS).confluent()).committed, intake_group(ways.roster), [inbox]
    )
    assert written > 0, "Kafka has what it wrote"
    assert sum(committed.values()) == 0, "and its group has committed nothing"

    async with workers_on(platform, ways.roster, dsn, tmp_path) as workers, watch(dsn) as look:
        await workers.start(0)

        async def taken() -> bool:
            return await left_in(ways, inbox.name) == 0

        await until(taken)
        facts = await ways.facts()
        ids = Counter(fact["id"] for fact in facts if fact["type"].startswith("carepact.ProfessionalClaim"))
        assert len(ids) == len(named) + len(unnamed)
        assert max(ids.values()) == 2, "what was in doubt is in the log twice, under one id"
        await look.until_read(tenant, len(await ways.records("log")))
        stored = "SELECT count(*) FROM fact WHERE payer = $1 AND type = 'carepact.ProfessionalClaimReceived.v1'"
        assert await look.until(stored, tenant) == len(ids), "and counts once"
        assert await look.until("SELECT count(*) FROM reject WHERE payer = $1", tenant) == 1
        assert await workers.stop() == [0]

"""kill -9 of `carepact publish`, the same files again, and two publishers at once: everything counts once.

The files are claims without ids of their own, so that what makes a second sending harmless is derived from content.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest
import pytest_asyncio

from carepact.generate.writing import write_as
from carepact.local.platform import LocalPlatform
from formats.detect import read_files
from streams.broadcasts import adopt
from streams.publishing import until_projected
from streams.topics import log_topic
from tests import forked
from tests.streams.test_intake import left_in, until
from tests.streams.ways_in import Ways, adoptions, ways_in, working
from tests.streams.workers import write_roster

pytestmark = [pytest.mark.platform, pytest.mark.chaos]

MEMBERS = 800
"""Enough for several writes to Kafka."""


@pytest_asyncio.fixture
async def ways(platform: LocalPlatform, space: str, tmp_path: Path) -> AsyncIterator[Ways]:
    async with ways_in(platform, space, tmp_path, "medicare") as made:
        yield made


async def publishing(tenant: str, files: list[Path], printed: Path) -> forked.Forked:
    """`carepact publish` as a process of its own."""
    with printed.open("wb") as out, printed.with_suffix(".said").open("wb") as said:
        return await forked.start(
            ["carepact", "publish", "--payer", tenant, "--json", *map(str, files)], os.environ, out, said
        )


async def test_files_count_once_though_the_publisher_is_killed_and_two_send_them_at_once(
    platform: LocalPlatform, ways: Ways, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = ways.payer.name
    made = write_as("csv", tmp_path / "made", MEMBERS, 7, months=12, payers=("medicare",))
    files = [tmp_path / "made" / name for name in made.files if name.startswith("medicare/")]
    wanted = Counter(item.event.type_name() for item in read_files(files))  # type: ignore[union-attr]
    assert wanted.total() > 2_500
    for name, value in {
        "CAREPACT_HOME": str(platform.home.path),
        "CAREPACT_ROSTER": str(write_roster(ways.roster, tmp_path)),
        "CAREPACT_KEYS": str(ways.keys.path),
    }.items():
        monkeypatch.setenv(name, value)

    await adopt(ways.connections, ways.writer, ways.door(), adoptions(ways.payer))
    await ways.mark()
    before = await left_in(ways, log_topic(tenant))

    victim = await publishing(tenant, files, tmp_path / "victim")
    try:

        async def begun() -> bool:
            return await left_in(ways, log_topic(tenant)) > before

        await until(begun)
    finally:
        if victim.returncode is None:
            victim.kill()
        await victim.wait()
    assert victim.returncode == -9, "killed while it wrote"
    assert 0 < len(await ways.facts()) < wanted.total()

    outputs = [tmp_path / "one", tmp_path / "other"]
    both = await asyncio.gather(*(publishing(tenant, files, output) for output in outputs))
    assert await asyncio.gather(*(each.wait() for each in both)) == [0, 0]
    told = [orjson.loads(output.read_bytes()) for output in outputs]
    assert told[0] == told[1]

    facts = await ways.facts()
    assert Counter(Counter(fact["id"] for fact in facts).values()).keys() <= {2, 3}, (
        "each twice, or thrice with the first"
    )
    once = {fact["id"]: fact["type"] for fact in facts}
    assert Counter(once.values()) == wanted
    async with working(ways) as pool, pool.acquire() as connection:
        records = await ways.records("log")
        ends = {record.partition: record.offset for record in records}
        await until_projected(connection, tenant, ends)
        stored = await connection.fetch(
            "SELECT type, count(*) FROM fact WHERE payer = $1 AND type = ANY($2::text[]) GROUP BY type",
            tenant,
            list(wanted),
        )
    assert {row[0]: row[1] for row in stored} == wanted

"""A population published in each format to real Kafka and PostgreSQL: the rows are those its facts come to."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from carepact.generate.carried import FORMATS, carried, told
from carepact.generate.population import generate
from carepact.generate.practices import broadcasts
from carepact.generate.writing import write_as
from carepact.local.platform import LocalPlatform
from formats import ndjson
from formats.detect import read_files
from streams.publishing import settle
from tests.generate.folded import of_told, standing
from tests.streams.ways_in import ways_in, working

pytestmark = [pytest.mark.platform, pytest.mark.long]

MEMBERS, SEED = 160, 7


@pytest.mark.parametrize("format_", FORMATS[1:])
async def test_the_rows_are_those_of_the_facts_that_the_format_carries(
    platform: LocalPlatform, tmp_path: Path, format_: str
) -> None:
    facts = carried(format_, told(line for _, line in generate(MEMBERS, SEED, payers=("medicare",))))
    episodes: Counter[tuple[object, ...]] = Counter()
    owed: Counter[tuple[object, ...]] = Counter()
    for member in standing("medicare", "", of_told(facts)).values():
        for each in member:
            episodes[each["started_on"], each["ends_on"], each["cancer_type"], each["status"], each["practice"]] += 1
            for kind, period, amount, practice in each["owed"]:
                owed[kind, period, practice] += amount
    made = write_as(format_, tmp_path / "made", MEMBERS, SEED, payers=("medicare",))
    files = [tmp_path / "made" / name for name in made.files if name.startswith("medicare/")]
    async with (
        ways_in(platform, f"as-{format_}", tmp_path, "medicare") as ways,
        working(ways) as pool,
        pool.acquire() as connection,
    ):
        publisher = ways.publisher()
        await publisher.publish(ndjson.read(broadcasts(), "practices.ndjson"))
        published = await settle(connection, ways.payer.name, await publisher.publish(read_files(files)))
        assert (published.rejected, published.duplicate) == (0, 0)
        rows = await connection.fetch(
            "SELECT started_on, ends_on, cancer_type, status, practice FROM episode "
            "WHERE payer = $1 AND to_offset IS NULL AND status <> 'cancelled'",
            ways.payer.name,
        )
        paid = await connection.fetch(
            "SELECT kind, period, practice, sum(amount_cents) AS cents FROM payment WHERE payer = $1 "
            "GROUP BY kind, period, practice HAVING sum(amount_cents) <> 0",
            ways.payer.name,
        )
    found = Counter((str(r[0]), str(r[1]), r[2] or "", r[3], r[4] or "") for r in rows)
    assert found == episodes
    assert {(r[0], r[1], r[2] or ""): int(r[3]) for r in paid} == dict(owed)

"""Two identifiers, one person: in either direction and order, the episodes and cents are those of one member."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date
from typing import Any

import orjson
import pytest
import pytest_asyncio

from carepact.local.platform import LocalPlatform
from contracts.events import ClaimLine, EnrollmentChanged, Person, PracticeParticipationChanged
from contracts.events.base import Identifier
from formats import ndjson as format_ndjson
from streams.door import unseal
from streams.linking import Linked, link, token_of
from streams.log_writer import Position
from streams.publishing import settle, until_projected
from tests.streams.ways_in import Ways, claim, ndjson, ways_in, working

pytestmark = pytest.mark.platform

PRACTICE = "571000001"
MBIS = iter(f"{first}EG4TE5MK{second}" for first in range(1, 10) for second in range(10, 100))


@pytest_asyncio.fixture(scope="module")
async def medicare(platform: LocalPlatform, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ways]:
    """A payer whose log is folded."""
    async with ways_in(platform, "linking", tmp_path_factory.mktemp("linking"), "medicare") as made:
        yield made


def identifier(mbi: str) -> Identifier:
    return Identifier(kind="mbi", value=mbi)


def covered(mbi: str, part: str) -> EnrollmentChanged:
    person = Person(identifier=identifier(mbi), family_name="Canaria")
    return EnrollmentChanged(person=person, coverage=part, from_on=date(2020, 1, 1))  # type: ignore[arg-type]


def service(mbi: str, claim_id: str, code: str, day: date) -> Any:
    line = ClaimLine(
        line=1, service_on=day, code=code, diagnoses=("C50911",), allowed_cents=9_000, paid_cents=8_000,
        place_of_service="11",
    )  # fmt: skip
    return claim(mbi, claim_id, lines=(line,), billing_tin=PRACTICE, from_on=day, through_on=day)


def history(early: str, late: str) -> list[bytes]:
    """A course of treatment whose first half is told under one identifier and the rest under another."""
    facts = [
        covered(early, "part_a"),
        covered(late, "part_b"),
        service(early, "K1", "J9035", date(2024, 3, 4)),
        service(early, "K2", "99214", date(2024, 3, 5)),
        service(early, "K3", "M0010", date(2024, 3, 6)),
        service(late, "K4", "M0010", date(2024, 4, 6)),
        service(late, "K5", "J9035", date(2024, 4, 4)),
    ]
    return [ndjson(fact, f"{early}-{late}-{n}") for n, fact in enumerate(facts)]


async def publish(ways: Ways, pool: Any, lines: list[bytes]) -> None:
    published = await ways.publisher().publish(format_ndjson.read(lines, "claims.ndjson"))
    async with pool.acquire() as connection:
        await settle(connection, ways.payer.name, published)
    assert published.accepted == len(lines)


async def join(ways: Ways, pool: Any, survivor: str, retired: str) -> Linked:
    tokens = [token_of(ways.keys, ways.payer.name, "", identifier(mbi)) for mbi in (survivor, retired)]
    return await join_tokens(ways, pool, *tokens)


async def join_tokens(ways: Ways, pool: Any, survivor: str, retired: str) -> Linked:
    linked = await link(ways.connections, ways.writer, ways.door(), ways.keys, survivor, retired)
    ends: dict[int, int] = {}
    for record in await ways.records("log"):
        at = Position(record.partition, record.offset)
        ends[at.partition] = max(ends.get(at.partition, 0), at.offset)
    async with pool.acquire() as connection:
        await until_projected(connection, ways.payer.name, ends)
    return linked


async def standing(pool: Any, token: str) -> tuple[list[Any], int, list[Any]]:
    """Episodes in force, cents net, and cents by month."""
    episodes = await pool.fetch(
        "SELECT started_on, status, void_reason, practice FROM episode"
        " WHERE member = $1 AND to_offset IS NULL AND status <> 'cancelled'",
        token,
    )
    months = await pool.fetch(
        "SELECT period, sum(amount_cents)::bigint FROM payment WHERE member = $1 GROUP BY period"
        " HAVING sum(amount_cents) <> 0 ORDER BY period",
        token,
    )
    return [tuple(row) for row in episodes], sum(row[1] for row in months), [tuple(row) for row in months]


async def test_a_link_gives_what_one_identifier_gives_in_either_direction_and_order(medicare: Ways) -> None:
    one, a, b, c, d, e, f = (next(MBIS) for _ in range(7))
    async with working(medicare) as pool:
        joins = PracticeParticipationChanged(practice=PRACTICE, from_on=date(2023, 7, 1))
        await publish(medicare, pool, [ndjson(joins, "joins")])
        await publish(medicare, pool, history(one, one))
        expected = await standing(pool, token_of(medicare.keys, medicare.payer.name, "", identifier(one)))
        assert expected == (
            [(date(2024, 3, 4), "valid", "", PRACTICE)], 14_000, [("2024-03", 7_000), ("2024-04", 7_000)],
        )  # fmt: skip

        await publish(medicare, pool, history(a, b))
        late = await join(medicare, pool, a, b)
        assert (late.moved, late.already_there) == (3, 0)

        await publish(medicare, pool, history(c, d))
        other_way = await join(medicare, pool, d, c)
        assert other_way.moved == 4

        await join(medicare, pool, e, f)
        await publish(medicare, pool, history(e, f))
        known_before = token_of(medicare.keys, medicare.payer.name, "", identifier(f))

        for survivor in (late.survivor, other_way.survivor, known_before):
            assert await standing(pool, survivor) == expected
        for retired in (late.retired, other_way.retired):
            assert await standing(pool, retired) == ([], 0, [])


async def test_a_link_made_again_moves_nothing_twice_and_what_was_sent_again_is_not_counted_twice(
    medicare: Ways,
) -> None:
    a, b = next(MBIS), next(MBIS)
    async with working(medicare) as pool:
        await publish(medicare, pool, history(a, a))
        resent = [line.replace(a.encode(), b.encode()) for line in history(a, a)]
        await publish(medicare, pool, resent)
        before = await standing(pool, token_of(medicare.keys, medicare.payer.name, "", identifier(a)))
        first = await join(medicare, pool, b, a)
        assert (first.moved, first.already_there) == (0, 7)
        assert await standing(pool, first.survivor) == before
        facts = await pool.fetchval("SELECT count(*) FROM fact WHERE member = $1", first.survivor)
        await join_tokens(medicare, pool, first.survivor, first.retired)
        assert await pool.fetchval("SELECT count(*) FROM fact WHERE member = $1", first.survivor) == facts


async def test_what_was_sealed_opens_under_the_survivor(medicare: Ways) -> None:
    a, b = next(MBIS), next(MBIS)
    async with working(medicare) as pool:
        await publish(medicare, pool, history(a, b))
        await medicare.mark()
        linked = await join(medicare, pool, a, b)
        moved = [event for event in await medicare.facts() if event.get("cause") == linked.link_id]
        assert len(moved) == 3
        key = medicare.keys.data_key(medicare.payer.name, linked.survivor)
        for event in moved:
            person = unseal(key, event["id"], linked.survivor, event["sealed"])["person"]
            assert person["identifier"]["value"] == b
            assert b.encode() not in orjson.dumps(event)

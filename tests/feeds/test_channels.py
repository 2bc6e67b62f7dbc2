"""By cursor, stream, webhook and topic a subscriber sees every event of its own once by its id, in order per subject.

Ten writers end their transactions after random whiles, one stays open long, and every reader is killed now and then:
what it had not written down is lost, and it goes on from what it had.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import orjson
import pytest

from carepact.local.platform import LocalPlatform
from carepact.local.postgres import OWNER
from gateway.delivering import Deliverer
from gateway.principals import Principal, scopes_of
from streams.relay import take_over
from streams.roster import Roster
from streams.topics import episodes_topic, payments_topic
from tests.feeds.emitting import change, listening, pay, reaching
from tests.feeds.receiving import receiving, says, sending
from tests.feeds.test_streams import heard
from tests.streams.test_relay import read_all

pytestmark = [pytest.mark.platform, pytest.mark.payers("medicare")]
WRITERS, TRANSACTIONS, EACH = 10, 8, 2
KILLED = 0.2


@dataclass
class Written:
    """What all writers have written, and whether more may come."""

    events: list[bytes] = field(default_factory=list)
    done: asyncio.Event = field(default_factory=asyncio.Event)


async def write(dsn: str, payer: str, topic: str, member: str, chance: random.Random) -> list[bytes]:
    """One writer's payments, a version of an episode with each transaction, and between them some of another payer."""
    connection, made = await asyncpg.connect(dsn), []
    for number in range(TRANSACTIONS):
        async with connection.transaction():
            for each in range(EACH):
                made.append(await pay(connection, payer, member, number * EACH + each, topic=topic))
            made.append(await change(connection, payer, member, number + 1, topic=episodes_topic(payer)))
            await pay(connection, f"not-{payer}", member, number)
            await connection.execute("SELECT pg_sleep($1)", chance.random() / 20)
    await connection.close()
    return made


async def write_all(dsn: str, payer: str, topic: str, written: Written) -> None:
    """All writers beside each other, while one transaction that began first ends last."""
    slow = await asyncpg.connect(dsn)
    async with slow.transaction():
        written.events.append(await pay(slow, payer, "slow", 1, topic=topic))
        members = [f"m{number}" for number in range(WRITERS)]
        found = await asyncio.gather(*(write(dsn, payer, topic, member, random.Random(member)) for member in members))
        written.events += [event for events in found for event in events]
    await slow.close()
    written.done.set()


async def by_cursor(url: str, written: Written, chance: random.Random) -> list[bytes]:
    """A reader that keeps its cursor together with what it has seen."""
    seen: list[bytes] = []
    words: dict[str, Any] = {"limit": 7}
    async with httpx.AsyncClient(headers={"Authorization": "Bearer mine"}, timeout=120) as client:
        while True:
            over = written.done.is_set()
            page = (await client.get(f"{url}/v1/feed", params=words)).json()
            if chance.random() < KILLED:
                continue  # killed before it wrote anything down
            seen += [orjson.dumps(event) for event in page["events"]]
            words["after"] = page["next"]
            if page["caught_up"] and over:
                return seen
            if page["caught_up"]:
                await asyncio.sleep(0.02)


async def by_stream(url: str, written: Written, chance: random.Random) -> list[bytes]:
    """A reader that is cut off, and comes back with the last id that it kept."""
    seen: list[bytes] = []
    kept = ""
    while True:
        headers = {"Authorization": "Bearer mine"} | ({"Last-Event-ID": kept} if kept else {})
        async with (
            httpx.AsyncClient(timeout=120) as client,
            client.stream("GET", f"{url}/v1/feed/stream", headers=headers) as answer,
        ):
            over = written.done.is_set()
            async for one in heard(answer):
                if one.event == "caught-up":
                    if over:
                        return seen
                    over = written.done.is_set()
                    if over:
                        break  # what ended just now may not have been told
                    continue
                if chance.random() < KILLED / 4:
                    break  # killed before it wrote this one down
                seen.append(one.data[0].encode())
                kept = one.id


async def killing(deliverer: Deliverer, chance: random.Random) -> None:
    """Kill couriers now and then: what they had not written down is done again."""
    while True:
        await asyncio.sleep(chance.random() / 2)
        for _, _, task in list(deliverer._couriers.values()):
            task.cancel()


@asynccontextmanager
async def beside(*tasks: Any) -> AsyncIterator[None]:
    """Run something beside, and end it."""
    running = [asyncio.ensure_future(task) for task in tasks]
    try:
        yield
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def relay(platform: LocalPlatform, dsn: str, payer: str, topics: Sequence[str], written: Written) -> list[bytes]:
    """The topics, after a relay that is killed between sending and noting."""
    connections = replace(platform.connections(), dsn=dsn)
    kills = 0
    while True:
        connection = await asyncpg.connect(dsn)
        try:
            over = written.done.is_set()
            async with take_over(payer, topics, connections, connection) as shard:
                assert shard is not None
                rows = await shard.waiting(13)
                if not rows and over:
                    break
                reached = await shard.publish(rows) if rows else {}
                kills += 1
                if rows and kills % 3:
                    await shard.settle(rows, reached)
        finally:
            await connection.close()
    return [record.value for topic in topics for record in await read_all(connections, topic)]


def in_order(events: Iterable[bytes]) -> dict[str, list[bytes]]:
    """Events by subject."""
    found: dict[str, list[bytes]] = {}
    for event in events:
        found.setdefault(orjson.loads(event)["subject"], []).append(event)
    return found


async def test_four_channels_tell_the_same(
    platform: LocalPlatform, space: str, roster: Roster, fresh_database: str, tmp_path: Path
) -> None:
    payer = next(one.name for one in roster.payers if one.name.endswith("medicare"))
    topic, written, chance = payments_topic(payer), Written(), random.Random(7)
    mine = Principal("payer", payer, scopes=scopes_of("payer"))
    app = reaching(platform, space, tmp_path, roster, webhooks_private=True, mine=mine)
    dsn = platform.dsn(OWNER, space)
    async with listening(app) as url, receiving(says(204)) as receiver:
        async with httpx.AsyncClient(headers={"Authorization": "Bearer mine"}) as client:
            made = await client.post(f"{url}/v1/endpoints", json={"url": receiver.url})
            assert made.status_code == 201, made.text
        async with sending(platform, space, tmp_path, payers=[payer]) as deliverer, beside(killing(deliverer, chance)):
            _, cursor, stream, kafka = await asyncio.gather(
                write_all(fresh_database, payer, topic, written),
                by_cursor(url, written, chance),
                by_stream(url, written, chance),
                relay(platform, dsn, payer, [topic, episodes_topic(payer)], written),
            )
            expected = in_order(written.events)
            assert len(written.events) == WRITERS * TRANSACTIONS * (EACH + 1) + 1

            def all_came() -> bool:
                return len({each.id for each in receiver.received}) == len(written.events)

            async with asyncio.timeout(120), receiver.came:
                await receiver.came.wait_for(all_came)
    first = {each.id: each.body for each in reversed(receiver.received)}
    webhook = [first[key] for key in dict.fromkeys(each.id for each in receiver.received)]
    for name, seen in (("cursor", cursor), ("stream", stream), ("kafka", kafka), ("webhook", webhook)):
        assert in_order(seen) == expected, name
    # A late subscriber begins with the same, and another's feed has none of it.
    assert {each.body for each in receiver.received} == set(written.events)

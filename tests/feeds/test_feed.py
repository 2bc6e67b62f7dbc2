"""A reader by cursor sees each event of its own once, whoever writes meanwhile."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import replace

import asyncpg
import orjson
import pytest

from carepact.local.platform import LocalPlatform
from carepact.local.postgres import READER
from projections.feed import FIRST, OtherHistory, Place, emitted_after, emitted_of
from projections.tenancy import Tenant
from tests.feeds.emitting import change, pay

pytestmark = pytest.mark.platform
WRITERS, TRANSACTIONS = 10, 15
TOTAL = WRITERS * TRANSACTIONS * 2
MEDICARE = Tenant("payer", "medicare")
PRACTICE = Tenant("practice", "medicare", practice="P1")


async def write(dsn: str, member: str, seed: int, written: asyncio.Event, longest: float) -> list[bytes]:
    """Transactions of some payments each, that end after a random while of so many seconds at most."""
    chance, made = random.Random(seed), []
    connection = await asyncpg.connect(dsn)
    for number in range(TRANSACTIONS):
        async with connection.transaction():
            made += [await pay(connection, "medicare", member, number * 2 + each) for each in (1, 2)]
            await connection.execute("SELECT pg_sleep($1)", chance.random() * longest)
        written.set()
    await connection.close()
    return made


@pytest.mark.parametrize("open_seconds", [0, pytest.param(60, marks=pytest.mark.long)])
async def test_no_event_is_missed_or_read_twice_under_ten_writers_and_a_long_transaction(
    platform: LocalPlatform, space: str, fresh_database: str, open_seconds: int
) -> None:
    """Reading goes on while all write; a transaction begins in the middle, and ends when others wrote behind it."""
    reader = await asyncpg.connect(platform.dsn(READER, space))
    slow = await asyncpg.connect(fresh_database)
    held, long = slow.transaction(), b""
    written = asyncio.Event()
    writers = asyncio.gather(
        *(write(fresh_database, f"m{n}", n, written, open_seconds / 5 or 0.02) for n in range(WRITERS))
    )
    seen: list[bytes] = []
    place: Place | None = None
    hidden, began = 0, 0.0
    while True:
        done = writers.done() and bool(long) and not slow.is_in_transaction()
        page, place, _ = await emitted_after(reader, MEDICARE, place, 7)
        seen += [each.event for each in page]
        if not long and seen:
            await held.start()
            began = time.monotonic()
            long = await pay(slow, "medicare", "slow", 1)
        elif slow.is_in_transaction() and not page:
            hidden = await slow.fetchval("SELECT count(*) FROM payment") - len(seen)
            if hidden > TOTAL // 6 and time.monotonic() - began >= open_seconds:
                await held.commit()
        if page:
            continue
        if done:
            break
        if not writers.done():
            await written.wait()
            written.clear()
    assert hidden > TOTAL // 6, "others wrote behind the long transaction"
    made = [event for events in writers.result() for event in events] + [long]
    assert len(made) == TOTAL + 1
    assert sorted(seen) == sorted(made)
    for member in range(WRITERS):
        mine = [event for event in seen if f'"m{member}"'.encode() in event]
        assert mine == writers.result()[member]
    await slow.close()
    await reader.close()


async def test_others_see_nothing_and_a_place_of_another_history_is_refused(
    platform: LocalPlatform, space: str, fresh_database: str
) -> None:
    owner = await asyncpg.connect(fresh_database)
    event = await pay(owner, "medicare", "m", 1)
    changed = await change(owner, "medicare", "m", 1)
    await owner.close()
    reader = await asyncpg.connect(platform.dsn(READER, space))
    told = (await emitted_after(reader, MEDICARE, None, 5)).events
    assert [each.event for each in told] == [event, changed], "a payer is told of episodes, a practice is not"
    assert all(str(each.place.event_id) == orjson.loads(each.event)["id"] for each in told)
    asked = {each.place.event_id: each.place.subject for each in told}
    assert await emitted_of(reader, MEDICARE, asked) == {each.place.event_id: each.event for each in told}
    assert list(await emitted_of(reader, PRACTICE, asked)) == [told[0].place.event_id]
    assert await emitted_of(reader, Tenant("employer", "medicare", "plan"), asked) == {}
    page, place, caught_up = await emitted_after(reader, PRACTICE, None, 5)
    assert ([each.event for each in page], caught_up) == ([event], True)
    assert page[0].place.event_id != FIRST
    assert place >= page[0].place, "who has read all stands at the horizon"
    assert (await emitted_after(reader, MEDICARE, place, 5)).events == []
    for other in (
        Tenant("payer", "bcbs-sc"),
        Tenant("practice", "medicare", practice="P2"),
        Tenant("employer", "medicare"),
    ):
        assert (await emitted_after(reader, other, None, 5)).events == []
    with pytest.raises(OtherHistory):
        await emitted_after(reader, MEDICARE, replace(place, history=place.history + 1), 5)
    await reader.close()

"""Intake: from a payer's inbox to the log, trimmed behind it; killed anywhere, nothing is lost and ids stay."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer, TopicPartition

from carepact.local.platform import LocalPlatform
from contracts.events import DayClosed, DisabilityClaimChanged, Person
from contracts.events.base import Identifier
from formats.reading import Reject
from streams.intake import Intake, _read
from streams.output import groupless
from streams.topics import inbox_topic
from tests.payers import shipped
from tests.streams.ways_in import CANARIES, Ways, claim, ndjson, records_of, ways_in

pytestmark = pytest.mark.platform

MEMBERS = ["1EG4TE5MK73", "2EG4TE5MK73", "3EG4TE5MK73"]


@pytest_asyncio.fixture(scope="module")
async def medicare(platform: LocalPlatform, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ways]:
    every = shipped().within("intake")
    async with ways_in(platform, every.space, tmp_path_factory.mktemp("intake"), "medicare", every) as made:
        yield made


@pytest_asyncio.fixture
async def ways(medicare: Ways) -> Ways:
    await medicare.mark()
    return medicare


class Killed(Exception):
    """Stands for SIGKILL: nothing that comes after it is done."""


class Dying(Intake):
    """An intake that dies at a step of its n-th batch."""

    def __init__(self, ways: Ways, step: str = "", left: int = 0) -> None:
        super().__init__(ways.connections, ways.roster, ways.topics, lambda: ways.keys, batch_records=7)
        self._step, self._left = step, left

    def _die(self, step: str) -> None:
        if step == self._step:
            self._left -= 1
            if self._left < 0:
                raise Killed

    async def take_in(self, *args: Any) -> None:
        self._die("before the log")
        await super().take_in(*args)
        self._die("before the commit")

    async def commit(self, *args: Any) -> bool:
        done = await super().commit(*args)
        self._die("after the commit")
        return done

    async def trim(self, *args: Any) -> None:
        self._die("before the trim")
        await super().trim(*args)
        self._die("after the trim")


@asynccontextmanager
async def running(intake: Intake) -> AsyncIterator[None]:
    """The intake at work; one that dies does so here."""
    stop = asyncio.Event()
    task = asyncio.create_task(intake.run(stop.is_set))
    try:
        yield
    finally:
        stop.set()
        with suppress(Killed):
            await task


async def send(
    platform: LocalPlatform, tenant: str, values: Iterable[bytes], partitions: int = 4, key: bytes | None = None
) -> None:
    """Write to an inbox as its tenant does: with the tenant's own credentials."""
    producer = AIOKafkaProducer(**platform.connections(tenant).aiokafka(), acks="all")
    await producer.start()
    try:
        for number, value in enumerate(values):
            await producer.send(inbox_topic(tenant), value, key=key, partition=number % partitions)
        await producer.flush()
    finally:
        await producer.stop()


async def until(reached: Callable[[], Any]) -> None:
    """Until a condition holds, or half a minute has passed."""
    async with asyncio.timeout(120):
        while not await reached():  # noqa: ASYNC110 - Kafka tells nobody
            await asyncio.sleep(0.05)


async def left_in(ways: Ways, topic: str) -> int:
    """How many records an inbox still has."""
    async with groupless(ways.connections) as consumer:
        parts = [TopicPartition(topic, partition) for partition in range(4)]
        begins, ends = await consumer.beginning_offsets(parts), await consumer.end_offsets(parts)
    return sum(ends[part] - begins[part] for part in parts)


async def test_what_a_payer_writes_lands_in_its_log_and_leaves_the_inbox(platform: LocalPlatform, ways: Ways) -> None:
    tenant = ways.payer.name
    good = [ndjson(claim(member, f"A{n}"), f"a-{n}-{member}") for n in range(5) for member in MEMBERS]
    bad = [b"not json", b"", ndjson(DayClosed(through_on=claim(MEMBERS[0], "x").from_on), "d"), ndjson(
        claim(MEMBERS[0], "A9"), "p", payer="acme")]  # fmt: skip
    await send(platform, tenant, [*good, *bad])
    await send(platform, tenant, [ndjson(claim(MEMBERS[0], "A8"), "k")], key=MEMBERS[1].encode())
    async with running(Intake(ways.connections, ways.roster, ways.topics, lambda: ways.keys)):
        await until(lambda: _is(left_in(ways, inbox_topic(tenant)), 0))
    facts = await ways.facts()
    assert len(facts) == len({fact["id"] for fact in facts}) == len(good)
    rejects = [orjson.loads(record.value)["data"] for record in await ways.records("rejects")]
    assert {reject["code"] for reject in rejects} == {"unreadable", "unknown_type", "unknown_payer", "wrong_key"}
    assert {reject["file"].rpartition("/")[0] for reject in rejects} == {inbox_topic(tenant)}
    for record in [*await ways.records("log"), *await ways.records("rejects")]:
        assert not [canary for canary in CANARIES if canary in record.value]


@pytest.mark.parametrize(
    ("key", "code"),
    [
        (None, ""), (b"", ""), (MEMBERS[0].encode(), ""), (b"mbi:" + MEMBERS[0].encode(), ""),
        (MEMBERS[1].encode(), "wrong_key"), (b"member_id:" + MEMBERS[0].encode(), "wrong_key"), (b"\xff", "wrong_key"),
    ],
)  # fmt: skip
def test_a_key_is_that_of_the_member_whom_the_record_is_about(key: bytes | None, code: str) -> None:
    record = SimpleNamespace(partition=2, offset=7, key=key, value=ndjson(claim(MEMBERS[0], "K"), "k"))
    found = _read("inbox", record)
    assert (found.code if isinstance(found, Reject) else "") == code
    if isinstance(found, Reject):
        assert (str(found.place), found.raw) == ("inbox/2:7 key", record.value)
        assert MEMBERS[0] not in f"{found.reason} {found.remedy}"


def test_what_is_about_no_member_has_no_key() -> None:
    value = ndjson(DayClosed(through_on=claim(MEMBERS[0], "x").from_on), "d")
    found = _read("inbox", SimpleNamespace(partition=0, offset=0, key=MEMBERS[0].encode(), value=value))
    assert isinstance(found, Reject) and found.code == "wrong_key"


async def _is(found: Any, wanted: int) -> bool:
    return bool(await found == wanted)


@pytest.mark.parametrize(
    "step", ["before the log", "before the commit", "after the commit", "before the trim", "after the trim"]
)
async def test_killed_anywhere_nothing_is_lost(platform: LocalPlatform, ways: Ways, step: str) -> None:
    tenant, name = ways.payer.name, step.replace(" ", "-")
    sent = [ndjson(claim(member, f"{name}-{n}"), f"{name}-{n}-{member}") for n in range(10) for member in MEMBERS]
    derived = [ndjson(claim(MEMBERS[0], f"{name}-{n}-derived")) for n in range(10)]
    await send(platform, tenant, [*sent, *derived])
    for batches in (0,) if "trim" in step else (0, 1):
        dying = Dying(ways, step, batches)
        async with asyncio.timeout(120):
            with suppress(Killed):
                await dying.run(lambda: False)
    async with running(Dying(ways)):
        await until(lambda: _is(left_in(ways, inbox_topic(tenant)), 0))
    facts = await ways.facts()
    digests = {(fact["id"], fact["contentdigest"]) for fact in facts}
    assert len(digests) == len({fact["id"] for fact in facts}) == len(sent) + len(derived)
    twice = [number for number in Counter(fact["id"] for fact in facts).values() if number > 1]
    assert bool(twice) == (step == "before the commit"), "produced again, under the same ids"


async def test_an_employers_inbox_takes_its_own_plans_facts_only(platform: LocalPlatform, ways: Ways) -> None:
    employers = next(each for each in ways.roster.payers if each.plans)
    plan, other = (each.name for each in employers.plans)
    event = DisabilityClaimChanged(
        person=Person(identifier=Identifier(kind="employee_id", value="E1")),
        claim_id="D1", plan_type="STD", status="opened", disability_on=claim(MEMBERS[0], "x").from_on,
    )  # fmt: skip
    own, named, foreign = ndjson(event, "1"), ndjson(event, "2", plan=plan), ndjson(event, "3", plan=other)
    await send(platform, plan, [own, named, foreign])
    async with running(Intake(ways.connections, ways.roster, ways.topics, lambda: ways.keys)):
        await until(lambda: _is(left_in(ways, inbox_topic(plan)), 0))
    topic = f"carepact.{employers.name}"
    log = [orjson.loads(record.value) for record in await records_of(ways.connections, f"{topic}.events.v1")]
    assert [event["plan"] for event in log if event.get("plan")] == [plan, plan]
    rejects = [orjson.loads(each.value) for each in await records_of(ways.connections, f"{topic}.rejects.v1")]
    assert [(reject["plan"], reject["data"]["code"]) for reject in rejects] == [(plan, "other_plan")]


async def test_it_runs_as_a_service_and_two_share_the_inboxes(platform: LocalPlatform, ways: Ways) -> None:
    tenant = ways.payer.name
    services = [Intake(ways.connections, ways.roster, ways.topics, lambda: ways.keys) for _ in range(2)]
    for service in services:
        await service.start()
    try:
        for part in range(3):
            await send(
                platform, tenant, [ndjson(claim(MEMBERS[n % 3], f"S{part}-{n}"), f"s-{part}-{n}") for n in range(9)]
            )
            await until(lambda: _is(left_in(ways, inbox_topic(tenant)), 0))
    finally:
        for service in services:
            await service.stop()
    assert len({fact["id"] for fact in await ways.facts()}) == 27


async def test_one_that_is_stopped_right_after_it_took_leaves_nothing_in_the_inbox(
    platform: LocalPlatform, ways: Ways
) -> None:
    tenant, taken = ways.payer.name, asyncio.Event()

    class Told(Intake):
        async def commit(self, *args: Any) -> bool:
            done = await super().commit(*args)
            taken.set()
            return done

    await send(platform, tenant, [ndjson(claim(MEMBERS[0], "stop"), "stop")])
    service = Told(ways.connections, ways.roster, ways.topics, lambda: ways.keys)
    await service.start()
    try:
        async with asyncio.timeout(120):
            await taken.wait()
    finally:
        await service.stop()
    assert await left_in(ways, inbox_topic(tenant)) == 0

"""kill -9 of the gateway at any byte of a file, and two who send it at once: everything counts once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from random import Random, randrange

import httpx
import orjson
import pytest
import pytest_asyncio

from carepact.local.platform import LocalPlatform
from streams.topics import log_topic
from tests.end_to_end.harness import population, until, world_of
from tests.gateway.served import Served, served
from tests.streams.ways_in import claim, ndjson, records_of

pytestmark = [pytest.mark.platform, pytest.mark.chaos]
WAIT = {"Prefer": "wait=100"}
LINES = {"Content-Type": "application/x-ndjson"}
CUTS = 8
"""Random bytes of a file, in the long run, at which the gateway dies."""


@pytest_asyncio.fixture(scope="module")
async def gateway(platform: LocalPlatform, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    folder = tmp_path_factory.mktemp("killed")
    async with world_of(platform, "killed", folder, ("medicare",)) as world, served(world) as made:
        yield made


@pytest.fixture(scope="module")
def lines(gateway: Served) -> list[bytes]:
    """A file's events, without the generator's own duplicates."""
    made = population(gateway.world.folder, gateway.world.space, 60, seed=11)
    every = made["practices"] + made["medicare"]
    return list({orjson.loads(line)["id"]: line for line in every}.values())


async def kill(gateway: Served) -> None:
    """kill -9 of a gateway that is alive, and wait for the next."""
    starts = gateway.kept.starts
    gateway.world.platform.kill(gateway.kept)
    await gateway.kept.until_started_again(starts)


async def broken(gateway: Served, key: str, body: bytes, at: int) -> None:
    """Send a file; the gateway dies when it was sent up to a byte, or as a whole."""

    async def pieces() -> AsyncIterator[bytes]:
        yield body[:at]
        await kill(gateway)
        yield body[at:]

    async with gateway.client(key) as client:
        with pytest.raises(httpx.TransportError):
            await client.post("/v1/files", content=pieces(), headers=WAIT)


async def broken_while_written(gateway: Served, key: str, body: bytes) -> None:
    """The gateway dies when some of the file is in the log."""
    before = await count(gateway)
    async with gateway.client(key) as client:
        sending = asyncio.create_task(client.post("/v1/files", content=body, headers=WAIT))

        async def has_begun() -> bool:
            return await count(gateway) > before

        await until(has_begun, "some of the file is in the log")
        await kill(gateway)
        await asyncio.gather(sending, return_exceptions=True)


async def count(gateway: Served) -> int:
    return len(await facts(gateway))


async def facts(gateway: Served) -> list[str]:
    records = await records_of(gateway.world.connections(), log_topic(gateway.world.payer("medicare").name))
    return [orjson.loads(record.value).get("factid") or orjson.loads(record.value)["id"] for record in records]


async def test_a_file_counts_once_whenever_the_gateway_is_killed(gateway: Served, lines: list[bytes]) -> None:
    key, body = await gateway.key("payer", "medicare"), b"\n".join(lines)
    await broken(gateway, key, body, Random(5).randrange(len(body)))
    assert not list((gateway.world.platform.home.path / "gateway" / "incoming").glob("*"))
    await broken_while_written(gateway, key, body)
    async with gateway.client(key) as client:
        begun = (await client.get("/v1/files")).json()["runs"]
        answer = await client.post("/v1/files", content=body, headers=WAIT)
        run = answer.json()
        assert (answer.status_code, run["status"], run["exact"]) == (202, "complete", True), answer.text
        assert run["accepted"] + run["duplicate"] == run["read"] == len(lines)
        assert [each["run_id"] for each in begun if each["status"] == "broken"] in ([run["run_id"]], [])
        one, other = await asyncio.gather(*(client.post("/v1/files", content=body, headers=WAIT) for _ in range(2)))
        for again in (one.json(), other.json()):
            assert (again["accepted"], again["duplicate"]) == (0, len(lines))
    await whole(gateway, len(lines))


async def test_two_who_send_one_file_at_once_make_it_count_once(gateway: Served, lines: list[bytes]) -> None:
    key, before = await gateway.key("payer", "medicare"), await known(gateway)
    fresh = [line.replace(b'"id":"', b'"id":"two-') for line in lines]
    as_file, as_lines = b"\n".join(fresh), b"\n".join(reversed(fresh))
    async with gateway.client(key) as client, gateway.client(key) as other:
        file, again, events = await asyncio.gather(
            client.post("/v1/files", content=as_file, headers=WAIT),
            other.post("/v1/files", content=as_lines, headers=WAIT),
            client.post("/v1/events", content=as_lines, headers=LINES),
        )
        taken = [file.json(), again.json()]
        assert all(run["exact"] and run["accepted"] + run["duplicate"] == len(lines) for run in taken)
        assert events.json()["rejected"] == 0
    await whole(gateway, before + len(lines))


@pytest.mark.long
@pytest.mark.timeout(1_800)
async def test_a_file_counts_once_though_the_gateway_is_killed_at_many_of_its_bytes(
    gateway: Served, lines: list[bytes]
) -> None:
    key, before = await gateway.key("payer", "medicare"), await known(gateway)
    fresh = [line.replace(b'"id":"', b'"id":"bytes-') for line in lines]
    body, seed = b"\n".join(fresh), randrange(2**32)
    print("seed", seed)
    chance, apart = Random(seed), len(body) // CUTS
    for slot in range(CUTS):  # each some lines behind the one before, so that there is something new to write
        at = slot * apart + chance.randrange(apart // 2, apart)
        await broken(gateway, key, body, at)
        await broken_while_written(gateway, key, body[:at].rpartition(b"\n")[0])
    async with gateway.client(key) as client:
        run = (await client.post("/v1/files", content=b"\n".join(fresh), headers=WAIT)).json()
    assert run["accepted"] + run["duplicate"] == run["read"] == len(fresh)
    await whole(gateway, before + len(fresh))


@pytest.mark.long
async def test_what_was_accepted_is_in_the_log_though_the_broker_was_killed(gateway: Served) -> None:
    key, broker = await gateway.key("payer", "medicare"), gateway.world.platform.kafka
    assert broker is not None
    starts, answers = broker.starts, []
    async with gateway.client(key) as client:

        async def send(number: int) -> None:
            body = b"\n".join(ndjson(claim(f"M{n}", f"K{number}-{n}"), f"k-{number}-{n}") for n in range(20))
            answers.append(
                await client.post("/v1/events", content=body, headers={"Content-Type": "application/x-ndjson"})
            )

        await send(0)
        gateway.world.platform.kill(broker)
        await asyncio.gather(*(send(number) for number in range(1, 9)))
        await broker.until_started_again(starts)
        for number in range(9):  # again, as who got no answer would
            await send(number)
    assert {answer.status_code for answer in answers} <= {202, 503}
    assert all("retry-after" in answer.headers for answer in answers if answer.status_code == 503)
    assert {answer.status_code for answer in answers[-9:]} == {202}
    told = [one for answer in answers if answer.status_code == 202 for one in answer.json()["results"]]
    log = set(await facts(gateway))
    assert {one["event_id"] for one in told if one["result"] in ("accepted", "duplicate")} <= log
    assert len({one["event_id"] for one in told}) == 9 * 20
    await gateway.world.settled()


async def known(gateway: Served) -> int:
    """Facts that were sent, a broadcast counting once."""
    async with gateway.world.opened() as database:
        found: int = await database.fetchval(
            "SELECT count(*) FROM fact WHERE type NOT IN ('carepact.LogOpened.v1', 'carepact.TermsAdopted.v1', "
            "'carepact.ContractAdopted.v1') AND (member <> '' OR partition = 0)"
        )
    return found


async def whole(gateway: Served, events: int) -> None:
    """Each event is a fact once, whatever the log has twice; what was paid agrees with a replay."""
    await gateway.world.settled()
    assert await known(gateway) == events
    async with gateway.world.opened() as database:
        rows = await database.fetch("SELECT event_id, count(*) AS n FROM fact GROUP BY 1")
    assert Counter(row["n"] for row in rows).keys() == {1}
    await gateway.world.assert_whole()

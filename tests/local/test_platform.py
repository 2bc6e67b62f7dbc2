"""The life of a home: who holds it, what happens when a part or its supervisor dies."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncpg
import orjson
import pytest
from aiokafka import AIOKafkaProducer

from carepact.local.errors import Held
from carepact.local.home import Home
from carepact.local.platform import LocalPlatform
from carepact.local.postgres import Postgres
from carepact.local.processes import end, gone, left_over
from carepact.settings import Settings, connection
from streams.admin import Admin
from streams.connections import Connections
from streams.roster import Roster
from streams.topics import (
    PLATFORM,
    episodes_topic,
    granted,
    inbox_topic,
    log_topic,
    payments_topic,
    settlements_topic,
)
from tests.local.conftest import Command

pytestmark = [pytest.mark.platform, pytest.mark.payers("medicare")]


async def test_a_home_is_held_by_one_process(platform: LocalPlatform) -> None:
    with pytest.raises(Held, match=f"held by process {os.getpid()}"):
        await LocalPlatform(platform.home.path).start()
    found = Command(platform.home.path).run("up")
    assert (found.returncode, f"process {os.getpid()}" in found.stderr) == (7, True)


@pytest.mark.chaos
async def test_a_killed_broker_is_started_again_with_what_it_had(platform: LocalPlatform, roster: Roster) -> None:
    assert platform.kafka is not None
    async with AIOKafkaProducer(**platform.connections().aiokafka(), acks="all") as producer:
        before = await producer.send_and_wait(log_topic(roster.names[0]), b"before", partition=0)
        starts = platform.kafka.starts
        killed = platform.kill(platform.kafka)
        await platform.kafka.until_started_again(starts)
        after = await producer.send_and_wait(log_topic(roster.names[0]), b"after", partition=0)
    assert platform.kafka.pid != killed
    assert after.offset == before.offset + 1


@pytest.mark.chaos
async def test_a_killed_database_is_started_again_with_what_it_had(
    platform: LocalPlatform, fresh_database: str
) -> None:
    assert platform.postgres is not None
    connection = await asyncpg.connect(fresh_database)
    await connection.execute("CREATE TABLE kept AS SELECT 7 AS seven")
    starts = platform.postgres.starts
    platform.kill(platform.postgres)
    await platform.postgres.until_started_again(starts)
    connection.terminate()
    again = await asyncpg.connect(fresh_database)
    assert await again.fetchval("SELECT seven FROM kept") == 7
    await again.close()


@pytest.mark.chaos
async def test_a_killed_supervisor_takes_its_parts_along_and_can_be_started_again(
    platform: LocalPlatform, carepact: Command
) -> None:
    assert carepact.run("up", "--workers", "0", "--detach").returncode == 0
    first = Home(carepact.home).state()
    assert first["kafka"]["bootstrap"] != platform.connections().bootstrap, "two homes run side by side"
    assert carepact.run("status").returncode == 0
    database = await asyncpg.connect(Postgres(Home(carepact.home)).dsn())
    for promise in ("fsync", "synchronous_commit", "full_page_writes"):
        assert await database.fetchval(f"SHOW {promise}") == "on", "what is committed is on the disk"
    old_key = await key_made_before_episodes_were_told(database, carepact.home)
    await database.close()
    late = carepact.run("wait", "--timeout", "0")
    assert (late.returncode, "behind: carepact.medicare.events.v1 by" in late.stderr) == (75, True)

    os.kill(first["supervisor"]["pid"], signal.SIGKILL)
    for part in ("kafka", "postgres"):
        await gone(first[part]["pid"])

    assert carepact.run("up", "--workers", "1", "--detach").returncode == 0
    assert carepact.run("wait").returncode == 0, "a worker takes in what the logs opened with"
    found = orjson.loads(carepact.run("status", "--json").stdout)
    assert found["kafka"]["up"] and found["postgres"]["up"] and found["workers"][0]["up"]
    assert [agent["lag"] for agent in found["agents"]] == [0, 0, 0]
    assert found["kafka"]["bootstrap"] == first["kafka"]["bootstrap"], "a home keeps its port"
    may = {payments_topic("medicare"), episodes_topic("medicare"), settlements_topic("medicare")}
    assert await asyncio.to_thread(Admin(old_key.confluent()).names) == {inbox_topic("medicare"), *may}
    assert carepact.run("down").returncode == 0
    assert not left_over(carepact.home)
    assert carepact.run("status").returncode == 1


async def key_made_before_episodes_were_told(database: Any, home: Path) -> Connections:
    """A payer's Kafka user with the access lists of then."""
    platform = connection(Settings(home=home), PLATFORM)
    episodes_prefix = episodes_topic("medicare").removesuffix("v1")
    then = [(name, what) for name, what in granted("payer", "medicare", "") if name != episodes_prefix]
    await asyncio.to_thread(Admin(platform.confluent()).admit, "oldkey", "a password", then)
    await database.execute(
        """
        INSERT INTO credential (credential_id, role, payer, plan, practice, name, scopes, secret_digest, created_at,
                                created_by, log_offset)
        VALUES ('oldkey', 'payer', 'medicare', '', '', '', '{}', '', now(), 'test', 0)
        """
    )
    return replace(platform, username="oldkey", password="a password")


async def test_a_supervisor_ends_with_the_process_that_started_it(carepact: Command) -> None:
    await gone(started_by_one_that_ends(carepact.home))
    assert not left_over(carepact.home)
    assert Home(carepact.home).holder() is None


def started_by_one_that_ends(home: Path) -> int:
    """The process id of a supervisor whose starter ends while it starts."""
    starter = (
        "import subprocess, sys\n"
        "up = subprocess.Popen(sys.argv[1:], stderr=subprocess.PIPE)\n"
        "while b'part_up' not in up.stderr.readline(): pass\n"
        "print(up.pid)\n"
    )
    words = [sys.executable, "-m", "carepact.platform_commands", "up", "--home", str(home)]
    said = subprocess.run([sys.executable, "-c", starter, *words], capture_output=True, text=True, check=True)
    return int(said.stdout)


def test_ctrl_c_stops_all_even_while_starting(carepact: Command) -> None:
    starting = carepact.start("up", "--workers", "0", until=b"part_up")
    starting.send_signal(signal.SIGINT)
    assert starting.wait(120) == 130
    assert not left_over(carepact.home)


def test_processes_left_over_are_found_and_ended_even_when_stopped(short_folder: Path) -> None:
    stray = subprocess.Popen(["sleep", "600"], env={"CAREPACT_PART_OF": str(short_folder)})
    other = subprocess.Popen(["sleep", "600"], env={"CAREPACT_PART_OF": f"{short_folder}/other"})
    stray.send_signal(signal.SIGSTOP)
    assert left_over(short_folder) == [stray.pid]
    end(left_over(short_folder))
    assert stray.wait() == -signal.SIGTERM
    assert other.poll() is None
    other.kill()
    other.wait()

"""`carepact feed` as a script meets it: what it prints, and how it ends."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import asyncpg
import pytest

from carepact.local.platform import LocalPlatform
from streams.keys import SqliteKeyStore
from streams.roster import Roster
from tests.feeds.emitting import pay
from tests.feeds.receiving import receiving, says, sending
from tests.streams.ways_in import Ways, commands

pytestmark = [pytest.mark.platform, pytest.mark.payers("medicare")]
Run = Callable[..., Awaitable[Any]]
NOBODYS = "3f0c9a52-6c0e-4c55-9f2b-0c1d2e3f4a5b"


@pytest.fixture
def run(
    platform: LocalPlatform, space: str, roster: Roster, fresh_database: str, tmp_path: Path, monkeypatch: Any
) -> Run:
    """`carepact ...` on a database and payers of this test's own; endpoints may be on this machine."""
    SqliteKeyStore(tmp_path / "keys.sqlite3").close()
    ways = SimpleNamespace(
        connections=SimpleNamespace(postgres=fresh_database),
        roster=roster,
        keys=SimpleNamespace(path=tmp_path / "keys.sqlite3"),
    )
    monkeypatch.setenv("CAREPACT_WEBHOOKS_PRIVATE", "1")
    return commands(platform, cast(Ways, ways), tmp_path, monkeypatch)


def lines(answer: Any) -> list[Any]:
    """What was printed, one JSON object a line."""
    assert answer.exit_code == 0, answer.output
    return [json.loads(line) for line in answer.stdout.splitlines()]


async def test_a_feed_is_listed_read_and_sent(
    platform: LocalPlatform, space: str, roster: Roster, fresh_database: str, tmp_path: Path, run: Run
) -> None:
    payer = next(one.name for one in roster.payers if one.name.endswith("medicare"))
    owner = await asyncpg.connect(fresh_database)
    events = [await pay(owner, payer, "m", number) for number in range(3)]
    await owner.close()

    listed = {row["subscriber"]: row for row in lines(await run("feed", "list", "--payer", payer, "--json"))}
    assert set(listed) == {f"payer:{payer}", f"practice:{payer}/P1"}
    mine = f"practice:{payer}/P1"
    words = {"subscriber": mine, "role": "practice", "payer": payer, "plan": "", "practice": "P1"}
    assert listed[mine] == words | {"events": 3, "endpoints": 0}

    told = await run("feed", "tail", mine)
    assert told.stdout.encode().splitlines() == events
    numbered = lines(await run("feed", "tail", mine, "--json"))
    rest = lines(await run("feed", "tail", mine, "--after", numbered[0]["next"], "--json"))
    assert [row["event"] for row in rest] == [json.loads(event) for event in events[1:]]
    assert (await run("feed", "tail", f"payer:{payer}", "--after", numbered[0]["next"])).exit_code == 2
    assert (await run("feed", "tail", "employer:nobody/x")).exit_code == 4
    assert (await run("feed", "tail", "somebody")).exit_code == 2

    async with receiving(says(200)) as receiver:
        (made,) = lines(await run("feed", "add", mine, receiver.url, "--json"))
        of = made["endpoint_id"]
        assert made["secret"].startswith("whsec_")
        (shown,) = lines(await run("feed", "endpoints", mine, "--json"))
        assert (shown["endpoint_id"], shown["status"], "secret" in shown) == (of, "active", False)
        assert lines(await run("feed", "test", of, "--json"))[0]["outcome"] == "delivered"
        assert lines(await run("feed", "pause", of, "--json"))[0]["status"] == "paused"
        assert lines(await run("feed", "resume", of, "--json"))[0]["status"] == "active"
        renewed = lines(await run("feed", "rotate", of, "--json"))[0]
        assert renewed["secret"] != made["secret"] and renewed["old_secret_until"]
        async with sending(platform, space, tmp_path, payers=[payer]):
            await receiver.until(4)
        sent = lines(await run("feed", "deliveries", of, "--json"))
        assert [row["status"] for row in sent] == ["delivered"] * 3
        assert lines(await run("feed", "replay", of, "--since", "2020-01-01", "--json"))[0]["events"] == 3
        assert lines(await run("feed", "replay", of, "--after", numbered[1]["next"], "--json"))[0]["events"] is None
        receiver.answer = says(500)
        assert (await run("feed", "test", of)).exit_code == 1
        assert (await run("feed", "add", mine, "http://user@127.0.0.1/")).exit_code == 2
        assert (await run("feed", "remove", of)).exit_code == 0
    for asked in (("pause", of), ("deliveries", of), ("replay", NOBODYS), ("test", "no-id")):
        assert (await run("feed", *asked)).exit_code == 4, asked

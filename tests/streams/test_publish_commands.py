"""publish, close-day and rejects list as a script meets them: what they print, and how they end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from carepact.local.platform import LocalPlatform
from contracts.events.base import Identifier
from streams.linking import token_of
from tests.end_to_end.harness import until
from tests.formats.test_cclf import record
from tests.payers import shipped
from tests.streams.ways_in import CANARIES, Ways, claim, commands, ndjson, ways_in, working

pytestmark = pytest.mark.platform

Run = Callable[..., Awaitable[Any]]
SPACE = "commands"
PAYER = f"{SPACE}-medicare"


@pytest_asyncio.fixture(scope="module")
async def ways(platform: LocalPlatform, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ways]:
    both = shipped("medicare", "bcbs-sc").within(SPACE)
    async with ways_in(platform, SPACE, tmp_path_factory.mktemp("commands"), "medicare", both) as made:
        yield made


@pytest_asyncio.fixture
async def run(platform: LocalPlatform, ways: Ways, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    return commands(platform, ways, tmp_path, monkeypatch)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "good.ndjson").write_bytes(b"\n".join(ndjson(claim("1EG4TE5MK73", f"C{n}"), f"id-{n}") for n in range(5)))
    (folder / "mixed.ndjson").write_bytes(
        b"\n".join([ndjson(claim("1EG4TE5MK73", "M1"), "m-1"), b'{"Canaria"', ndjson(claim("1EG4TE5MK73", "M2"))])
    )
    return folder


async def test_publish_counts_rows_and_says_by_its_exit_code_that_some_were_rejected(
    run: Run, ways: Ways, files: Path
) -> None:
    async with working(ways), asyncio.timeout(120):
        good = await run("publish", "--payer", PAYER, files / "good.ndjson", "--wait", "--json")
        assert good.exit_code == 0, good.output
        expected = {"read": 5, "accepted": 5, "duplicate": 0, "rejected": 0, "events": {"claim": 5}, "exact": True}
        assert json.loads(good.stdout) == expected

        both = await run("publish", "--payer", PAYER, files, "--wait", "--json")
        assert both.exit_code == 5, both.output
        counted = json.loads(both.stdout)
        assert [counted[name] for name in ("read", "accepted", "duplicate", "rejected")] == [8, 2, 5, 1]

        shown = await run("rejects", "list", "--json")
        assert shown.exit_code == 0, shown.output
        (reject,) = [json.loads(line) for line in shown.stdout.splitlines()]
        assert (reject["file"], reject["line"], reject["code"]) == ("mixed.ndjson", 2, "unreadable")
        told = await run("rejects", "list", "--payer", PAYER)
        assert told.stdout.startswith("mixed.ndjson:2\n    unreadable: ")

        closed = await run("close-day", "--payer", PAYER, "--through", "2024-03-31", "--wait", "--json")
        assert closed.exit_code == 0, closed.output
        assert [at["partition"] for at in json.loads(closed.stdout)["positions"]] == [0, 1, 2, 3]
        for result in (good, both, shown, told, closed):
            assert not [c for c in CANARIES if c in result.output.encode()]


async def test_former_identifiers_link_members_that_had_facts_of_their_own(
    run: Run, ways: Ways, tmp_path: Path
) -> None:
    old, new = "3EG4TE5MK11", "4EG4TE5MK12"
    facts, changed = tmp_path / "facts.ndjson", tmp_path / "P.A0001.ACO.ZC9Y24.D240801.T0102030"
    facts.write_bytes(b"\n".join(ndjson(claim(mbi, f"F{n}"), f"f-{n}") for n, mbi in enumerate((old, new, new))))
    changed.write_bytes(record("9", HICN_MBI_XREF_IND="M", CRNT_NUM=new, PRVS_NUM=old, PRVS_ID_EFCTV_DT="2024-01-01"))
    async with working(ways) as pool, asyncio.timeout(120):
        assert (await run("publish", "--payer", PAYER, facts, "--wait", "--json")).exit_code == 0
        linked = await run("publish", "--payer", PAYER, changed, "--wait", "--json")
        assert (linked.exit_code, json.loads(linked.stdout)["linked"]) == (0, 1), linked.output

        one = token_of(ways.keys, PAYER, "", Identifier(kind="mbi", value=new))

        async def moved() -> bool:
            claims = "SELECT count(*) FROM fact WHERE member = $1 AND type LIKE '%Claim%'"
            retired = "SELECT count(*) FROM fact WHERE type = 'carepact.MemberRetired.v1'"
            return (await pool.fetchval(claims, one), await pool.fetchval(retired)) == (3, 1)

        await until(moved, "the claims are those of one member")
        again = await run("publish", "--payer", PAYER, changed, "--wait", "--json")
        assert (again.exit_code, json.loads(again.stdout).get("linked")) == (0, None), again.output
        none = await run("subject", "links", "--payer", PAYER)
        assert (none.exit_code, none.output) == (0, "no link is waiting\n")


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("publish", "--payer", "nobody", "{file}"), 4, "there is no payer nobody"),
        (("publish", "--payer", PAYER, "--plan", "acme", "{file}"), 4, "has no plan acme"),
        (("publish", "--payer", PAYER, "--format", "pdf", "{file}"), 2, "--format is auto, ndjson"),
        (("publish", "--payer", PAYER, "{odd}"), 1, "odd.txt"),
        (("publish", "--payer", PAYER, "/nowhere"), 2, ""),
        (("close-day", "--payer", PAYER, "--through", "tomorrow"), 2, ""),
        (("close-day", "--payer", "nobody", "--through", "2024-01-01"), 4, "there is no payer nobody"),
        (("rejects", "list", "--payer", "nobody"), 4, "there is no payer nobody"),
    ],
)
async def test_what_cannot_be_is_refused_in_one_line(
    run: Run, files: Path, words: tuple[str, ...], code: int, says: str
) -> None:
    (files / "odd.txt").write_bytes(b"%PDF-1.7\n")
    result = await run(*(word.format(file=files / "good.ndjson", odd=files / "odd.txt") for word in words))
    assert result.exit_code == code, result.output
    assert says in result.stderr


async def test_without_a_worker_waiting_ends(run: Run, files: Path) -> None:
    result = await run("publish", "--payer", f"{SPACE}-bcbs-sc", files / "good.ndjson", "--wait", "--timeout", "0.5")
    assert result.exit_code == 75
    assert "is a worker up?" in result.stderr


async def test_without_kafka_it_says_so(run: Run, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAREPACT_KAFKA", "127.0.0.1:9")
    result = await run("publish", "--payer", PAYER, files / "good.ndjson")
    assert result.exit_code == 75
    assert "Kafka does not answer" in result.stderr

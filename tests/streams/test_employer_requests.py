"""A request for a period of an employers' log: each plan and practice settled from the log at the cut, and again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import date
from typing import Any

import orjson
import pytest
import pytest_asyncio

from carepact.local.platform import LocalPlatform
from contracts.events import DayClosed, TermsAdopted
from contracts.roster import bundled_sheet
from contracts.terms import digest_of
from contracts.trial import answer as tried
from contracts.trial import find
from projections.settled_payments import explain_settled
from projections.settlements import documents
from streams.employer_reports import employer_reports
from streams.log_writer import LogWriter
from streams.reconciling import Asked
from streams.roster import Roster
from streams.topics import log_topic
from tests.streams.logs import Log, Record, claim, population
from tests.streams.replayed import Sent
from tests.streams.test_requests import World

pytestmark = [pytest.mark.platform, pytest.mark.payers("employers")]
PLAN = "palmetto-manufacturing"
PERIOD = 2


@pytest_asyncio.fixture
async def world(
    platform: LocalPlatform, roster: Roster, make_database: Callable[[], Awaitable[str]]
) -> AsyncIterator[World]:
    """The employers' log in Kafka with some employees' lives, all applied."""
    payer = next(one for one in roster.payers if one.contract == "employer")
    made = World(payer, replace(platform.connections(), dsn=await make_database()), make_database)
    made.connection = await made.connect()
    log = population(Log(payer.name, payer.contract, plan=PLAN), 8, 20)
    log.broadcast(DayClosed(through_on=date(2025, 12, 31)))
    await write(made, log, dict.fromkeys(log.records, 1))
    await made.apply()
    yield made
    await made.connection.close()


async def write(world: World, log: Log, since: dict[int, int]) -> None:
    """What a log holds from some places on."""
    told: list[Record] = []
    sent = []
    for partition, records in log.records.items():
        told += records[since[partition] :]
        sent += [Sent(partition, record.key or b"", record.value) for record in records[since[partition] :]]
    async with LogWriter(world.connections) as writer:
        await writer.write(log_topic(world.payer.name), sent)


async def settled(world: World, run: str = "initial") -> tuple[Asked, dict[str, Any]]:
    asked = await world.ask(PERIOD, run)
    async with world.desk() as desk:
        return asked, await world.until_told(desk, asked)


async def payments(world: World) -> list[dict[str, Any]]:
    rows = await world.connection.fetch("SELECT plan, event FROM settlement_payment ORDER BY log_offset, ordinal")
    return [orjson.loads(row["event"])["data"] | {"of": row["plan"]} for row in rows]


async def test_each_practice_of_a_plan_is_settled_and_trued_up_by_the_difference(world: World) -> None:
    asked, answer = await settled(world)
    assert answer["status"] == "answered"
    assert [one["plan"] for one in answer["settlements"]] == [PLAN] * len(answer["settlements"]) != []
    assert sum(one["included"] for one in answer["settlements"]) > 0
    first = await payments(world)
    assert {one["kind"] for one in first} == {"SHARED_SAVINGS"} and {one["of"] for one in first} == {PLAN}
    for one in first:
        assert sum(line["amount_cents"] for line in one["lines"]) == one["amount_cents"] > 0
        assert all(term["illustrative"] for line in one["lines"] for term in line["terms"])
        assert one["plan"] == PLAN and one["member"] is None
        why = await explain_settled(world.connection, one["payment_id"])
        assert why is not None and why["try"]["contract"] == f"employer/{PLAN}"
        again = tried(find("employer", why["try"]["clause"]), why["try"]["given"], why["try"]["contract"])
        assert again["amount_cents"] == one["amount_cents"]
    waiting = {reason for one in answer["settlements"] for reason in one["pending"]}
    assert waiting == {"T2:minimum_denominator", "T4:minimum_denominator"}
    told = await documents(world.connection, world.payer.name, asked.request_id)
    assert [one["statement"]["actual_cents"] for one in told] == [one["actual_cents"] for one in answer["settlements"]]
    assert all(len(one["pack"]["episodes"]) == one["statement"]["episodes"] for one in told)

    await settled(world)
    assert await payments(world) == first, "asked again, nothing moves"

    log = Log(world.payer.name, world.payer.contract, plan=PLAN)
    episode = told[0]["pack"]["episodes"][0]
    name = next(name for name in (f"m{i}" for i in range(8)) if log.token(name) == episode["member"])
    dear = claim(
        date.fromisoformat(episode["started_on"]), "77427", claim_id="dear", family="dear", paid_cents=5_000_000
    )
    log.tell(name, dear)
    await write(world, log, dict.fromkeys(log.records, 0))
    await world.apply()
    _, trued = await settled(world, "true-up")
    after = (await payments(world))[len(first) :]
    assert [one["reverses"] for one in after[::2]] == [one["supersedes"] for one in after[1::2]]
    assert sum(one["moved_cents"] for one in trued["settlements"]) == sum(one["amount_cents"] for one in after) != 0
    lines = await world.connection.fetch("SELECT sum(amount_cents)::bigint AS rest FROM settlement_ledger_line")
    assert [row["rest"] for row in lines] == [0]


async def test_a_dropped_database_answers_with_the_same_bytes(world: World) -> None:
    asked, _ = await settled(world)
    before = await world.answers(asked), [one["payment_id"] for one in await payments(world)]
    await world.use_new_database()
    await world.apply()
    async with world.desk() as desk:
        await world.until_told(desk, asked)
    assert (await world.answers(asked), [one["payment_id"] for one in await payments(world)]) == before


async def test_a_report_is_read_from_the_log_alone_and_again_the_same(world: World) -> None:
    first, last = date(2024, 1, 1), date(2024, 12, 31)
    told = await employer_reports(world.connections, world.payer.name, b"key", first, last)
    again = await employer_reports(world.connections, world.payer.name, b"key", first, last)
    assert told == again and list(told) == [PLAN]
    report = told[PLAN]
    assert report.covered == 8 and report.people > 0
    assert not any(Log("x", "employer", plan=PLAN).token(f"m{i}") in str(report.document()) for i in range(8))


async def test_terms_that_cannot_be_settled_by_are_a_refusal_with_its_reason(world: World) -> None:
    _, _, content = bundled_sheet("employer")
    terms = dict(content["terms"])
    unknown = {**terms["quality_weights"], "values": [{"from": "2023-07-01", "value": "M99:1"}]}
    made = {**content, "terms": {**terms, "quality_weights": unknown}}
    log = Log(world.payer.name, world.payer.contract, plan=PLAN)
    adopted = TermsAdopted(contract="employer", plan=PLAN, sheet_version="bad", digest=digest_of(made), content=made)
    log.broadcast(adopted)
    await write(world, log, dict.fromkeys(log.records, 0))
    await world.apply()
    _, answer = await settled(world)
    assert answer["status"] == "refused"
    assert answer["reason"] == f"plan {PLAN}: its terms cannot be read (KeyError)"
    assert await payments(world) == []

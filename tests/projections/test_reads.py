"""Reads: what is known now, what was known then, and why."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import asyncpg
import orjson
import pytest
import pytest_asyncio

from carepact.local.platform import LocalPlatform
from carepact.telling import ILLUSTRATIVE, dollars, tell_episode, tell_payment
from contracts.in_or_out import in_or_out
from contracts.parts import ClaimRecord, Unit
from contracts.recoupment_risk import KIND as WARNING
from projections.episodes import episodes
from projections.explain import explain_episode, explain_payment
from projections.payer_panel import payer_panel
from projections.payments import payments
from projections.positions import NOW, AsOf, BadAsOf, applied
from projections.warnings import at_risk
from tests.streams.logs import Log, population
from tests.streams.test_folding import agent_on, give

EPISODE_KEYS = (
    "episode_id", "payer", "contract", "member", "cancer_type", "started_on", "ends_on", "performance_period", "status",
    "included", "expenditure_cents", "practice", "opened_by", "version",
)  # fmt: skip
PAYMENT_KEYS = (
    "payment_id", "payer", "contract", "kind", "amount_cents", "member", "episode_id", "practice", "period",
    "effective_on", "reverses", "supersedes", "cause",
)  # fmt: skip


@pytest_asyncio.fixture(scope="module")
async def half_and_whole(platform: LocalPlatform) -> AsyncIterator[tuple[Any, Any, Log, dict[int, int]]]:
    """One log applied up to a cut in one database and wholly in another: (half, whole, log, cut)."""
    log = population(Log(), 10, 25)
    cut = {partition: len(records) * 2 // 3 for partition, records in log.records.items()}
    connections = []
    for name, end in (("reads_half", cut), ("reads_whole", {p: len(r) for p, r in log.records.items()})):
        dsn = await platform.create_database(name)
        async with agent_on(dsn) as agent:
            await give(agent, {partition: log.records[partition][:until] for partition, until in end.items()})
        connections.append(await asyncpg.connect(dsn))
    yield connections[0], connections[1], log, cut
    for connection, name in zip(connections, ("reads_half", "reads_whole"), strict=True):
        await connection.close()
        await platform.drop_database(name)


HalfAndWhole = tuple[Any, Any, Log, dict[int, int]]


async def all_of(rows: AsyncIterator[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row async for row in rows]


async def test_keys_are_as_promised(half_and_whole: HalfAndWhole) -> None:
    _, whole, _, _ = half_and_whole
    episode, payment = (await all_of(episodes(whole)))[0], (await all_of(payments(whole)))[0]
    assert tuple(episode)[: len(EPISODE_KEYS)] == EPISODE_KEYS
    assert tuple(payment)[: len(PAYMENT_KEYS)] == PAYMENT_KEYS
    assert episode["position"].keys() == payment["position"].keys() == {"topic", "partition", "offset"}


async def test_what_was_known_then_is_what_stood_then(half_and_whole: HalfAndWhole) -> None:
    half, whole, _, cut = half_and_whole
    then = AsOf.parse(",".join(f"{partition}:{end - 1}" for partition, end in cut.items()), "medicare")
    for question in (episodes, payments):
        now_there, then_here = await all_of(question(half)), await all_of(question(whole, as_of=then))
        assert now_there == then_here
        assert now_there != await all_of(question(whole))


async def test_a_time_means_the_records_that_came_by_then(half_and_whole: HalfAndWhole) -> None:
    _, whole, log, _ = half_and_whole
    last = log.records[2][-1]
    instant = datetime.fromtimestamp(last.timestamp / 1000, UTC).isoformat()
    cut = await AsOf.parse(instant).cut(whole)
    assert ("medicare", 2) not in cut, "all of partition 2 was known by then"
    for (_, partition), offset in cut.items():
        assert log.records[partition][offset].timestamp > last.timestamp
        assert log.records[partition][offset - 1].timestamp <= last.timestamp
    assert await all_of(payments(whole, as_of=AsOf.parse("2001-01-01"))) == []
    assert await all_of(payments(whole, as_of=AsOf.parse("2199-01-01"))) == await all_of(payments(whole))


@pytest.mark.parametrize("text", ["2026-01-31T12:00:00", "yesterday", "1:2:3", "carepact.x.payments.v1/1:2", "3:4"])
def test_a_point_that_means_nothing_is_refused(text: str) -> None:
    with pytest.raises(BadAsOf):
        AsOf.parse(text)


def test_a_position_may_name_its_topic() -> None:
    assert AsOf.parse("carepact.bcbs-sc.events.v1/3:118, 0:7", "medicare").places == (
        ("bcbs-sc", 3, 118),
        ("medicare", 0, 7),
    )


async def test_filters_leave_only_what_they_name(half_and_whole: HalfAndWhole) -> None:
    _, whole, log, _ = half_and_whole
    every = await all_of(payments(whole))
    member, episode = every[0]["member"], next(p["episode_id"] for p in every if p["episode_id"])
    assert await all_of(payments(whole, member=member)) == [p for p in every if p["member"] == member]
    assert await all_of(payments(whole, episode_id=episode)) == [p for p in every if p["episode_id"] == episode]
    assert await all_of(payments(whole, kind="MEOS")) == [p for p in every if p["kind"] == "MEOS"]
    assert await all_of(payments(whole, payer="bcbs-sc")) == []
    assert {e["member"] for e in await all_of(episodes(whole, member=log.token("m1")))} == {log.token("m1")}


async def test_a_warning_is_no_payment_and_explains_itself_by_the_terms_it_goes_by(
    half_and_whole: HalfAndWhole,
) -> None:
    half, whole, _, _ = half_and_whole
    assert {p["kind"] for p in await all_of(payments(whole))} == {"MEOS"}
    assert await all_of(payments(whole, kind=WARNING)) == []
    warned = await all_of(at_risk(whole))
    assert warned
    for one in warned:
        assert one["at_risk_cents"] > 0
        why = await explain_payment(whole, one["warning_id"])
        assert why is not None
        assert (why["kind"], why["amount_cents"], why["reversed_by"]) == (WARNING, 0, None)
        (line,) = why["lines"]
        assert all(term["source"] and term["status"] for term in line["terms"])
        assert {"risk_after_days", "meos_recoupment"} <= {term["name"] for term in line["terms"]}
        assert one in await all_of(at_risk(whole, "medicare", one["member"], one["episode_id"], one["practice"]))
    panel = await payer_panel(whole, "medicare")
    assert (panel.warned, panel.at_risk_cents) == (len(warned), sum(one["at_risk_cents"] for one in warned))
    assert [kind.kind for kind in (await payer_panel(half, "medicare")).kinds] == ["MEOS"]


async def test_positions_are_the_logs_ends(half_and_whole: HalfAndWhole) -> None:
    half, _, _, cut = half_and_whole
    assert await applied(half) == {("medicare", partition): end for partition, end in cut.items()}
    assert await applied(half, "bcbs-sc") == {}


async def test_every_payment_is_explained_down_to_the_log(half_and_whole: HalfAndWhole) -> None:
    _, whole, log, _ = half_and_whole
    for payment in await all_of(payments(whole)):
        why = await explain_payment(whole, payment["payment_id"])
        assert why is not None
        assert sum(line["amount_cents"] for line in why["lines"]) == payment["amount_cents"] == why["amount_cents"]
        assert why["contract"]["digest"]
        for fact in why["facts"]:
            record = orjson.loads(log.records[fact["partition"]][fact["offset"]].value)
            assert record["contentdigest"] == fact["digest"]
            assert record.get("factid", record["id"]) == fact["event_id"]
            assert record["type"] == fact["type"]
        for line in why["lines"]:
            for term in line["terms"]:
                assert term.keys() >= {"name", "value", "unit", "from", "dated_by", "source", "illustrative"}


async def test_a_reversal_and_what_it_reverses_name_each_other(half_and_whole: HalfAndWhole) -> None:
    _, whole, _, _ = half_and_whole
    reversal = next(p for p in await all_of(payments(whole)) if p["reverses"])
    first = await explain_payment(whole, reversal["reverses"])
    assert first is not None
    assert first["reversed_by"] == reversal["payment_id"]
    assert first["amount_cents"] == -reversal["amount_cents"]


async def test_a_payment_is_told_in_words(half_and_whole: HalfAndWhole) -> None:
    _, whole, _, _ = half_and_whole
    payment = next(p for p in await all_of(payments(whole)) if not p["reverses"])
    why = await explain_payment(whole, payment["payment_id"])
    assert why is not None
    told = "\n".join(tell_payment(why))
    assert dollars(payment["amount_cents"]) in told
    for fact in why["facts"]:
        assert f"[{fact['partition']}] offset {fact['offset']}" in told
    for line in why["lines"]:
        assert line["clause"] in told
        assert line["arithmetic"] in told
    why["lines"][0]["terms"][0]["illustrative"] = True
    assert ILLUSTRATIVE in "\n".join(tell_payment(why))


async def test_an_episode_tells_every_claim_in_or_out(half_and_whole: HalfAndWhole) -> None:
    _, whole, log, _ = half_and_whole
    seen: set[bool] = set()
    for episode in await all_of(episodes(whole)):
        why = await explain_episode(whole, episode["episode_id"])
        assert why is not None
        claims = [
            orjson.loads(record.value)["data"]["claim_id"]
            for record in log.records[log_partition(log, episode["member"])]
            if (record.key or b"").decode() == episode["member"] and b"ClaimReceived" in record.value
        ]
        assert {claim["claim_id"] for claim in why["claims"]} == set(claims)
        seen |= {claim["in"] for claim in why["claims"]}
        assert len(why["versions"]) == why["version"] == episode["version"]
        in_force = sum(payment["amount_cents"] for payment in why["payments"])
        assert in_force == why["payments_cents"]
        told = "\n".join(tell_episode(why))
        assert all(claim["claim_id"] in told for claim in why["claims"])
    assert seen == {True, False}


def log_partition(log: Log, member: str) -> int:
    """The partition that has a member's records."""
    return next(p for p, records in log.records.items() if any(r.key == member.encode() for r in records))


async def test_what_is_not_there_is_none(half_and_whole: HalfAndWhole) -> None:
    _, whole, _, _ = half_and_whole
    for name in ("not an id", "00000000-0000-0000-0000-000000000000"):
        assert await explain_payment(whole, name) is None
        assert await explain_episode(whole, name, NOW) is None


def record(action: str = "original", day: str = "2024-03-01", counts: bool = True, note: str = "") -> ClaimRecord:
    unit = Unit(1, 100, [("visits", day[:7], f"{day}|P1|breast|c|1#0", ["e", "t", 0])], [(day, 1, 0, 0, 0)], counts)
    return ClaimRecord("c", action, "", day, (b"e", "t", 0), [unit], note)


@pytest.mark.parametrize(
    ("given", "survives", "inside", "words"),
    [
        (record(), True, True, "within"),
        (record(day="2024-01-01"), True, True, "within"),
        (record(day="2024-06-30"), True, True, "within"),
        (record(day="2023-12-31"), True, False, "before the episode began"),
        (record(day="2024-07-01"), True, False, "after the episode ended"),
        (record(), False, False, "voided or replaced"),
        (record(counts=False), False, False, "every line is denied"),
        (record("void"), False, False, "a void"),
        (record(note="other payer first"), False, False, "other payer first"),
    ],
)
def test_a_claim_is_in_or_out_for_one_reason(given: ClaimRecord, survives: bool, inside: bool, words: str) -> None:
    counted = given.units if survives else []
    assert (is_in := in_or_out(given, counted, "2024-01-01", "2024-06-30"))[0] is inside
    assert words in is_in[1]

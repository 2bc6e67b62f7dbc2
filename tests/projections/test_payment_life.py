"""The life of a payment, by the facts that say money moved: what is open, for how long, and netted by practice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import date
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from carepact.local.platform import LocalPlatform
from carepact.telling import tell_payment
from contracts.events import EnrollmentChanged, PaymentRemitted, PaymentReturned, RemittanceReceived
from contracts.events.remittance import ProviderAdjustment
from contracts.payment_life import Life, age
from contracts.roster import bundled_sheet
from contracts.terms import TermSheet
from projections.explain import explain_payment
from projections.payment_life import aging, lives
from projections.payments import payments
from projections.positions import AsOf
from tests.streams.logs import Log, claim
from tests.streams.test_folding import agent_on, give

MONTH = 11_000
EOM = TermSheet(bundled_sheet("medicare-eom")[2])


@pytest.mark.parametrize(
    ("due", "remitted", "returned", "moves", "status", "left"),
    [
        (11_000, 0, 0, 0, "sent", 11_000),
        (11_000, 11_000, 0, 1, "remitted", 0),
        (11_000, 6_000, 0, 1, "partly_remitted", 5_000),
        (11_000, 11_000, 11_000, 2, "returned", 11_000),
        (11_000, 11_000, 1_000, 2, "partly_remitted", 1_000),
        (11_000, 11_001, 0, 1, "to_come_back", -1),
        (0, 11_000, 0, 1, "to_come_back", -11_000),
        (0, 11_000, 11_000, 2, "void", 0),
        (0, 0, 0, 0, "void", 0),
        (-50_000, -50_000, 0, 1, "remitted", 0),
        (-50_000, -20_000, 0, 1, "partly_remitted", -30_000),
        (-50_000, -60_000, 0, 1, "to_come_back", 10_000),
    ],
)
def test_what_is_open_says_what_a_payment_is(
    due: int, remitted: int, returned: int, moves: int, status: str, left: int
) -> None:
    life = Life(due, remitted, returned, True, moves)
    assert (life.status, life.open_cents) == (status, left)


def test_a_payment_that_waits_for_the_relay_is_determined() -> None:
    assert Life(1, 0, 0, False, 0).status == "determined"


@pytest.mark.parametrize(
    ("on", "overdue", "bucket"),
    [
        (date(2025, 1, 31), 0, ""),  # 1 January + 30 days
        (date(2025, 2, 1), 1, "1-30"),
        (date(2025, 3, 2), 30, "1-30"),
        (date(2025, 3, 3), 31, "31-60"),
        (date(2025, 5, 1), 90, "61-90"),
        (date(2025, 5, 2), 91, "over 90"),
    ],
)
def test_ages_by_the_terms(on: date, overdue: int, bucket: str) -> None:
    found = age(EOM, date(2025, 1, 1), on)
    assert (found.due_on, found.overdue_days, found.bucket) == (date(2025, 1, 31), overdue, bucket)


@dataclass
class Told:
    """A log of one member with four paid months, of which money moved for three."""

    connection: Any
    log: Log
    months: dict[str, str]
    before: AsOf


@pytest_asyncio.fixture(scope="module")
async def told(platform: LocalPlatform) -> AsyncIterator[Told]:
    log = Log()
    log.open()
    for kind in ("part_a", "part_b"):
        log.tell("m", EnrollmentChanged(coverage=kind, from_on=date(2020, 1, 1)))
    for code, day in (("J9035", 10), ("99214", 12)):
        log.tell("m", claim(date(2025, 1, day), code))
    for month in (1, 2, 3, 4):
        log.tell("m", claim(date(2025, month, 20), "M0010", claim_id=f"s{month}", family=f"s{month}"))
    dsn = await platform.create_database("payment_life")
    connection = await asyncpg.connect(dsn)
    async with agent_on(dsn) as agent:
        await give(agent, log.records)
        paid = {row["period"]: row["payment_id"] async for row in payments(connection)}
        assert len(paid) == 4
        at = {partition: len(records) for partition, records in log.records.items()}
        before = AsOf.parse(",".join(f"{p}:{n - 1}" for p, n in at.items()), "medicare")
        _move(log, paid)
        await give(agent, {p: records[at[p] :] for p, records in log.records.items() if records[at[p] :]})
    yield Told(connection, log, paid, before)
    await connection.close()
    await platform.drop_database("payment_life")


def _move(log: Log, paid: dict[str, str]) -> None:
    """January is remitted, February remitted and returned, March remitted, then voided; January is adjusted too."""

    def remitted(month: str, cents: int = MONTH) -> None:
        day = date(2025, 6, 2)
        moved = PaymentRemitted(
            payment_id=paid[month], amount_cents=cents, remitted_on=day, source="835", trace=f"t-{month}"
        )
        log.tell("m", moved)

    for month in ("2025-01", "2025-02", "2025-03"):
        remitted(month)
    back = PaymentReturned(
        payment_id=paid["2025-02"], amount_cents=MONTH, returned_on=date(2025, 6, 9), source="bank", reason="R03"
    )
    log.tell("m", back, "back")
    log.tell("m", back, "back")
    third = claim(date(2025, 3, 20), "M0010", claim_id="s3", family="s3")
    log.tell("m", third.model_copy(update={"action": "void", "claim_id": "v3", "replaces": "s3"}))
    adjusted = [
        ProviderAdjustment(reason="WO", amount_cents=400, payment_id=paid["2025-01"]),
        ProviderAdjustment(reason="L6", amount_cents=-7),
    ]
    whole = {"kind": "claims", "remitted_on": date(2025, 6, 30), "items": 0, "items_cents": 0, "amount_cents": -393}
    log.broadcast(RemittanceReceived.model_validate(whole | {"trace": "t-9", "adjustments": tuple(adjusted)}))


async def by_month(told: Told, **asked: Any) -> dict[str, dict[str, Any]]:
    return {row["period"]: row async for row in lives(told.connection, **asked)}


async def test_each_payment_is_told_once_with_its_reversal(told: Told) -> None:
    found = await by_month(told)
    seen = {month: (row["status"], row["due_cents"], row["open_cents"]) for month, row in found.items()}
    assert seen == {
        "2025-01": ("partly_remitted", MONTH, 400),
        "2025-02": ("returned", MONTH, MONTH),
        "2025-03": ("to_come_back", 0, -MONTH),
        "2025-04": ("determined", MONTH, MONTH),
    }
    assert {row["payment_id"] for row in found.values()} == set(told.months.values())
    assert found["2025-03"]["reversed_by"]


async def test_before_money_moved_all_was_open(told: Told) -> None:
    found = await by_month(told, as_of=told.before)
    assert {row["open_cents"] for row in found.values()} == {MONTH}


async def test_what_is_open_is_aged_and_netted_by_practice(told: Told) -> None:
    far = date(2100, 1, 1)
    (practice,) = await aging(lives(told.connection, on=far))
    assert practice["practice"] == "P1"
    assert practice["to_practice_cents"] == 400 + 2 * MONTH
    assert practice["from_practice_cents"] == -MONTH
    assert practice["net_cents"] == 400 + MONTH == sum(practice["ages"].values())
    assert practice["ages"].keys() == {"over 90"}
    found = await by_month(told, on=date(2023, 11, 15))
    assert {row["age"] for row in found.values()} == {"not due"}


async def test_the_explanation_of_a_payment_says_what_became_of_it(told: Told) -> None:
    why = await explain_payment(told.connection, told.months["2025-02"])
    assert why is not None
    life = why["life"]
    assert (life["status"], life["open_cents"]) == ("returned", MONTH)
    assert [(move["kind"], move["amount_cents"], move["on"]) for move in life["moves"]] == [
        ("remitted", MONTH, "2025-06-02"), ("returned", -MONTH, "2025-06-09"),
    ]  # fmt: skip
    assert "What became of it: returned; open $110.00" in "\n".join(tell_payment(why))
    early = await explain_payment(told.connection, told.months["2025-02"], told.before)
    assert early is not None and early["life"]["moves"] == []


async def test_a_payment_s_own_row_says_what_moved_for_it(told: Told) -> None:
    found = {row["payment_id"]: row["remitted_cents"] async for row in payments(told.connection)}
    assert found[told.months["2025-01"]] == MONTH - 400
    assert sorted(found.values()) == [0, 0, 0, MONTH - 400, MONTH]

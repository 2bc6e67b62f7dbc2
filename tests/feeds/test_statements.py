"""A statement holds the events of a month as the feed tells them, of nobody else, and the same bytes each time."""

from __future__ import annotations

import asyncio
import csv
import io
from datetime import UTC, date, datetime
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import asyncpg
import orjson
import pytest

from carepact.local.platform import LocalPlatform
from carepact.local.postgres import READER
from contracts.envelope import NAMESPACE
from gateway.principals import Principal, scopes_of
from gateway.statement_files import COLUMNS, write_statement
from gateway.statements import is_over
from projections.feed import emitted_after, emitted_within
from projections.tenancy import Tenant
from tests.feeds.emitting import change, reaching
from tests.feeds.released import PLAN, project, release_of
from tests.gateway.served import Named, client_of

pytestmark = pytest.mark.platform
ROWS = (
    ("medicare", "", "b", 1, "P1", "2026-01-03T10:00:00.000Z"),
    ("medicare", "", "a", 2, "P1", "2026-01-31T23:59:59.999Z"),
    ("medicare", "", "a", 1, "P1", "2026-01-02T10:00:00.000Z"),
    ("medicare", "", "a", 3, "P1", "2026-02-01T00:00:00.000Z"),
    ("medicare", "", "c", 1, "P2", "2026-01-05T10:00:00.000Z"),
    ("employers", PLAN, "d", 1, "P1", "2026-01-06T10:00:00.000Z"),
)
WHO = {
    "payer": Tenant("payer", "medicare"),
    "practice": Tenant("practice", "medicare", practice="P1"),
    "other": Tenant("practice", "medicare", practice="P2"),
    "administrator": Tenant("payer", "employers"),
    "employer": Tenant("employer", "employers", PLAN),
}
IDS = {"payer": ["a1", "a2", "b1", "c1"], "practice": ["a1", "a2", "b1"], "other": ["c1"], "administrator": ["d1"]}


def name(member: str, sequence: int) -> UUID:
    return uuid5(NAMESPACE, f"{member}{sequence}")


async def paid(connection: Any, payer: str, plan: str, member: str, sequence: int, practice: str, at: str) -> None:
    """A payment as the fold emits it, in the least words."""
    made = name(member, sequence)
    data = {"payment_id": str(made), "practice": practice, "amount_cents": -700, "effective_on": "2025-12-31",
            "contract": "c", "kind": "MEOS", "period": "2025-12", "lines": [{"label": "=1+1"}]}  # fmt: skip
    event = orjson.dumps(
        {"specversion": "1.0", "id": str(made), "type": "carepact.PaymentDetermined.v1", "subject": member, "time": at,
         "payer": payer, "plan": plan, "sequence": f"{sequence:09}", "data": data}
    )  # fmt: skip
    await connection.execute(
        """
        INSERT INTO payment (payer, plan, contract, payment_id, kind, amount_cents, member, practice, period,
                             effective_on, cause, sequence, partition, log_offset, event)
        VALUES ($1, $2, 'c', $3, 'MEOS', -700, $4, $5, '2025-12', $6, $3, $7, 0, 0, $8)
        """,
        payer, plan, made, member, practice, date(2025, 12, 31), sequence, event,
    )  # fmt: skip


async def test_statements(platform: LocalPlatform, space: str, fresh_database: str, tmp_path: Path) -> None:
    owner = await asyncpg.connect(fresh_database)
    for row in ROWS:
        await paid(owner, *row)
    await project(owner, release_of(PLAN), datetime(2026, 1, 7, tzinfo=UTC))
    reader = await asyncpg.connect(platform.dsn(READER, space))
    for who, tenant in WHO.items():
        await assert_as_the_feed(reader, tenant, tmp_path, IDS.get(who))
    assert [one async for one in emitted_within(reader, WHO["payer"], "2025-12")] == []
    await assert_over_http(platform, space, tmp_path)
    await change(owner, "medicare", "a", 1)
    await owner.close()
    await assert_as_the_feed(reader, WHO["payer"], tmp_path, None)
    await assert_as_the_feed(reader, WHO["practice"], tmp_path, IDS["practice"])
    await reader.close()


async def assert_as_the_feed(reader: Any, tenant: Tenant, folder: Path, ids: list[str] | None) -> None:
    """The feed's events of the month, and no other, as rows in both forms; twice the same bytes."""
    page = await emitted_after(reader, tenant, None, 100)
    told = {one.event for one in page.events if orjson.loads(one.event)["time"].startswith("2026-01")}
    found = [event async for event in emitted_within(reader, tenant, "2026-01")]
    assert told and set(found) == told and len(found) == len(told)
    if ids is not None:
        assert [orjson.loads(event)["id"] for event in found] == [str(name(one[0], int(one[1]))) for one in ids]
    for form in ("csv", "parquet"):
        again = [folder / f"{number}.{form}" for number in (1, 2)]
        for path in again:
            assert await write_statement(emitted_within(reader, tenant, "2026-01"), path, form) == len(told)
        first, second = await asyncio.to_thread(lambda paths: [path.read_bytes() for path in paths], again)
        assert first == second
        rows = await asyncio.to_thread(_csv if form == "csv" else _parquet, first)
        assert [row["event"].encode() for row in rows] == found
        assert [row["id"] for row in rows] == [orjson.loads(event)["id"] for event in found]
        versions = [row for row in rows if row["type"] == "carepact.EpisodeChanged.v1"]
        assert {(row["status"], str(row["from"])) for row in versions} <= {("valid", "2026-01-01")}
        if ids is not None:
            assert {str(row["amount_cents"]) for row in rows} == {"-700"}


def _csv(written: bytes) -> list[dict[str, Any]]:
    return list(csv.DictReader(io.StringIO(written.decode(), newline="")))


def _parquet(written: bytes) -> list[dict[str, Any]]:
    arrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    read = parquet.read_table(arrow.BufferReader(written))
    assert tuple(read.column_names) == COLUMNS
    assert read.schema.field("amount_cents").type == arrow.int64()
    assert read.schema.field("effective_on").type == arrow.date32()
    rows: list[dict[str, Any]] = read.to_pylist()
    return rows


async def assert_over_http(platform: LocalPlatform, space: str, folder: Path) -> None:
    callers = {
        who: Principal(tenant.role, tenant.payer, tenant.plan, tenant.practice, scopes=scopes_of(tenant.role))
        for who, tenant in WHO.items()
    }
    app = reaching(platform, space, folder)
    app.state.callers = Named(**callers)
    for who, ids in IDS.items():
        async with client_of(app, who) as client:
            answer = await client.get("/v1/statements/2026-01?format=csv")
            assert answer.headers["content-type"].startswith("text/csv")
            rows = await asyncio.to_thread(_csv, answer.content)
            assert [row["id"] for row in rows] == [str(name(one[0], int(one[1]))) for one in ids]
            if who == "practice":
                assert {row["practice"] for row in rows} == {"P1"} and b"P2" not in answer.content
            assert (await client.get("/v1/statements/2099-01")).status_code == 404
            assert (await client.get("/v1/statements/2026-13")).status_code == 422
            parquet = await client.get("/v1/statements/2026-01?format=parquet")
            assert parquet.content[:4] == b"PAR1" and len(_parquet(parquet.content)) == len(ids)
    assert not list((folder / "spool").rglob("statement*"))


def test_a_month_is_told_when_it_is_over_in_utc() -> None:
    assert is_over("2026-01", datetime(2026, 2, 1, tzinfo=UTC))
    assert not is_over("2026-01", datetime(2026, 1, 31, 23, 59, tzinfo=UTC))

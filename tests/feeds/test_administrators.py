"""Who administers all plans reads them all, of one plan its own; after an exchange every feed begins anew."""

from __future__ import annotations

from pathlib import Path

import asyncpg
import pytest

from carepact.local.platform import LocalPlatform
from carepact.local.postgres import READER
from gateway.principals import Principal, scopes_of
from projections import rebuilt
from projections.feed import Place, emitted_after, standing, told_between
from projections.migrate import migrate
from projections.tenancy import Tenant
from tests.feeds.emitting import reaching
from tests.feeds.released import OTHER_PLAN, PLAN, project, release_of
from tests.feeds.test_statements import name, paid
from tests.gateway.served import client_of

pytestmark = pytest.mark.platform
AT = "2026-01-06T10:00:00.000Z"
ALL, ONE = Tenant("payer", "employers"), Tenant("payer", "employers", PLAN)


async def test_an_administrator_of_all_plans_reads_what_each_of_them_is_told(
    platform: LocalPlatform, space: str, fresh_database: str
) -> None:
    owner = await asyncpg.connect(fresh_database)
    reader = await asyncpg.connect(platform.dsn(READER, space))
    since = await standing(reader)
    await paid(owner, "employers", PLAN, "a", 1, "P1", AT)
    await paid(owner, "employers", OTHER_PLAN, "b", 1, "P2", AT)
    await paid(owner, "medicare", "", "c", 1, "P1", AT)
    await project(owner, release_of(PLAN))

    async def ids(tenant: Tenant) -> set[object]:
        return {one.place.event_id for one in (await emitted_after(reader, tenant, None, 100)).events}

    assert await ids(ALL) == {name("a", 1), name("b", 1)}
    assert await ids(ONE) == {name("a", 1)}
    assert await ids(Tenant("payer", "medicare")) == {name("c", 1)}
    assert name("a", 1) not in await ids(Tenant("employer", "employers", PLAN))
    now = await standing(reader)
    until = Place(now.history, now.made_by + 1)
    news = await told_between(reader, ["employers", "medicare"], since, until)
    assert {ALL, ONE, Tenant("payer", "employers", OTHER_PLAN), Tenant("payer", "medicare")} <= news
    await owner.close()
    await reader.close()


async def test_a_cursor_is_gone_when_a_rebuild_was_switched_in_and_events_keep_their_ids(
    platform: LocalPlatform, space: str, fresh_database: str, tmp_path: Path
) -> None:
    owner = await asyncpg.connect(fresh_database)
    await paid(owner, "employers", PLAN, "a", 1, "P1", AT)
    app = reaching(platform, space, tmp_path, all=Principal("payer", "employers", scopes=scopes_of("payer")))
    async with client_of(app, "all") as client:
        first = (await client.get("/v1/feed")).json()
        assert [one["id"] for one in first["events"]] == [str(name("a", 1))]
        await migrate(fresh_database, partitions=1, schema=rebuilt.SCHEMA)
        await owner.execute(f"INSERT INTO {rebuilt.SCHEMA}.payment SELECT * FROM payment")
        async with owner.transaction():
            await rebuilt.exchange(owner, {})
        gone = await client.get("/v1/feed", params={"after": first["next"]})
        assert (gone.status_code, gone.json()["code"]) == (410, "cursor_expired")
        again = (await client.get("/v1/feed")).json()
        assert again["events"] == first["events"]
        after = await client.get("/v1/feed", params={"after": again["next"]})
        assert (after.status_code, after.json()["events"]) == (200, [])
    await owner.close()

"""What if, against the platform itself: each imagined history run afresh through Kafka and PostgreSQL, to the cent.

The fresh runs share the fold's code with the question asked, and nothing else: other topics and databases, facts that
the door let in, workers, requests. `tests/oracle` holds the same settlements to an account that shares none.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import date
from pathlib import Path
from typing import Any

import orjson
import pytest

from carepact.local.platform import LocalPlatform
from contracts.drafts import Change, frozen
from contracts.events import TermsAdopted
from contracts.roster import bundled_sheet
from contracts.terms import digest_of
from streams.broadcasts import adopt
from streams.door import Door
from streams.log_writer import LogWriter
from streams.reconciling import ask, log_ends, until_answered
from streams.what_if import NONE, Imagining, Options
from tests.end_to_end.harness import World, world_of
from tests.oracle.settling import make

pytestmark = [pytest.mark.platform, pytest.mark.long, pytest.mark.timeout(900)]
PERIOD = 3
CONTENT = bundled_sheet("medicare-eom")[2]
SHEETS = {day: frozen(CONTENT, day) for day in ("2024-12-31", "2025-01-01")}


def arranged(lines: list[bytes], arrangement: str) -> list[bytes]:
    """As if every practice had this arrangement."""

    def other(line: bytes) -> bytes:
        event = orjson.loads(line)
        if "RiskArrangementSet" in event["type"]:
            event["data"]["arrangement"] = arrangement
        return orjson.dumps(event)

    return [other(line) for line in lines]


async def stated(world: World, content: dict[str, Any]) -> None:
    """The world's log adopts a sheet before anything is known."""
    payer = world.payer("medicare")
    terms = TermsAdopted(contract=payer.contract, sheet_version="draft", digest=digest_of(content), content=content)
    async with LogWriter(world.connections()) as writer:
        await adopt(world.connections(), writer, Door(payer, world.keys, 4), [terms])


async def paid(world: World) -> dict[str, int]:
    """What each practice is paid for the period's episodes, and by its settlement, in a run of the platform."""
    payer, cents = world.payer("medicare"), defaultdict[str, int](int)
    async with world.working(1):
        await world.settled()
        asked = await ask(world.connections(), payer.name, payer.contract, PERIOD, "initial")
        async with world.opened() as database:
            assert (await until_answered(database, asked))["status"] == "answered"
            rows = await database.fetch(
                """
                SELECT practice, amount_cents FROM payment p WHERE EXISTS (
                       SELECT FROM episode e WHERE e.episode_id = p.episode_id AND e.performance_period = $1)
                 UNION ALL SELECT practice, amount_cents FROM settlement_payment
                """,
                PERIOD,
            )
    for practice, amount in rows:
        cents[practice] += amount
    return {practice: amount for practice, amount in cents.items() if amount}


@pytest.mark.parametrize("what", ["arrangements", "terms"])
async def test_what_if_is_what_a_fresh_run_of_the_platform_pays(
    platform: LocalPlatform, tmp_path: Path, what: str
) -> None:
    made = make(tmp_path, 36, seed=9, variants=1, known_through=date(2025, 6, 30))
    lines = [line for path in (made.practices, made.figures, made.initial) for line in path.read_bytes().splitlines()]
    if what == "arrangements":
        changes = {name: Change(arrangement=name) for name in ("RA1", "RA2")}
    else:
        changes = {day: Change(sheet=content) for day, content in SHEETS.items()}
    async with world_of(platform, f"asked-{what}", tmp_path, ("medicare",)) as world:
        await world.publish("medicare", lines)
        payer = world.payer("medicare")
        cut = {int(p): end for p, end in (await log_ends(world.connections(), payer.name)).items()}
        before, after = changes.values()
        imagining = Imagining(payer, before, after, Options(period=PERIOD))
        await imagining.read(world.connections(), cut)
        answer = imagining.result()
        as_it_is = Imagining(payer, NONE, NONE, Options(period=PERIOD))
        await as_it_is.read(world.connections(), cut)
        was = {row["name"]: row["before_cents"] for row in as_it_is.result().as_json()["practices"]}
        assert {name: cents for name, cents in was.items() if cents} == await paid(world)

    assert not answer.pending
    told = answer.as_json()["practices"]
    for which, (name, change) in zip(("before_cents", "after_cents"), changes.items(), strict=True):
        async with world_of(platform, f"fresh-{name.lower()}", tmp_path, ("medicare",)) as world:
            if change.sheet is not None:
                await stated(world, dict(change.sheet))
            await world.publish("medicare", arranged(lines, name) if change.arrangement else lines)
            imagined = {row["name"]: row[which] for row in told if row[which]}
            assert imagined == await paid(world)
    assert answer.before_cents != answer.after_cents
    assert sum(row.difference_cents for row in answer.rows) == answer.after_cents - answer.before_cents

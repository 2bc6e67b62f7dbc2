"""A world of a test's own on the running platform: payers, a database, workers as real processes, files to publish.

What must hold whenever everything is settled is asked by `World.assert_whole` and `World.assert_as_folded_elsewhere`;
the second knows only the files that were published and `tests/oracle/fold.py`, which imports nothing of the product.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import asyncpg
import orjson
from aiokafka.errors import KafkaError
from pydantic import SecretStr

from carepact.adopting import adopt_bundled
from carepact.generate import write
from carepact.local.platform import LocalPlatform
from carepact.local.postgres import AGENT, OWNER
from carepact.local.supervisor import Kept
from carepact.local.waiting import wait
from carepact.local.worker import Worker
from carepact.settings import Settings, connection
from contracts.events.base import Identifier
from formats.detect import read_file
from streams.broadcasts import close_day
from streams.connections import Connections
from streams.door import Door
from streams.keys import SqliteKeyStore, identifier_digest, member_token
from streams.log_writer import LogWriter
from streams.publishing import Published, Publisher
from streams.rejects import RejectBook
from streams.roster import Payer, Roster
from streams.topics import OPERATOR, log_topic, payments_topic, topics
from streams.verifying import verify
from tests import forked
from tests.oracle.fold import fold
from tests.payers import shipped
from tests.streams.tables import QUERIES
from tests.streams.ways_in import records_of

ROOT = Path(__file__).parents[2]
PAYERS = ("medicare", "bcbs-sc", "employers")
PLANS = ("palmetto-manufacturing", "lowcountry-retail")
SETTLED_SECONDS = 150
LOOK_SECONDS = 0.02, 0.3  # the first pause between looks, and the longest; each is a fifth longer than the one before
Row = tuple[Any, ...]


class WorkerOf(Worker):
    """A worker process of a world; its sessions in PostgreSQL carry its name."""

    def __init__(self, world: World, index: int, words: Sequence[str]) -> None:
        super().__init__(world.platform.home, index)
        self.name = f"{world.space}-worker-{index}"
        self.output = world.platform.home.logs / f"{self.name}.log"
        self._words = words
        self._environment = world.environment(self.name)

    async def start(self) -> forked.Forked:
        """Start it as the supervisor starts its own."""
        words = [*(self._words or ("carepact", "worker")), "--index", str(self.index)]
        return await forked.keep(words, self._home.path, self.output, self._environment)


@dataclass
class World:
    """`sent[payer]` are the lines published so far, as an independent fold may read them."""

    platform: LocalPlatform
    space: str
    folder: Path
    payers: Sequence[str] = PAYERS
    sent: dict[str, list[bytes]] = field(default_factory=lambda: defaultdict(list))
    closed_through: str = ""
    database: str = ""
    databases: int = 0

    def __post_init__(self) -> None:
        self.roster = shipped(*self.payers).within(self.space)
        self.roster_file = self.folder / f"{self.space}.toml"
        self.roster_file.write_text(roster_toml(self.roster))
        self.keys = SqliteKeyStore(self.platform.settings.key_store)

    # -- what it is made of -------------------------------------------------------------------------------------------

    async def make(self) -> None:
        """Topics, users and first records; terms adopted; an empty database."""
        await self.platform.make_ready(self.roster)
        await self.new_database()
        await adopt_bundled(self.settings)

    async def new_database(self) -> None:
        """From now on another database, which is empty; the one before is dropped."""
        await self.drop_database()
        self.databases += 1
        self.database = f"{self.space}_{self.databases}".replace("-", "_")
        await self.platform.create_database(self.database)

    async def drop_database(self) -> None:
        """Without a trace."""
        if self.database:
            await self.platform.drop_database(self.database)

    def environment(self, name: str) -> dict[str, str]:
        """What a process of this world is told."""
        return {
            "CAREPACT_HOME": str(self.platform.home.path),
            "CAREPACT_ROSTER": str(self.roster_file),
            "CAREPACT_POSTGRES": f"{self.dsn}&application_name={name}",
            "PYTHONPATH": str(ROOT),
        }

    @property
    def dsn(self) -> str:
        """The agents' way to the database."""
        return self.platform.dsn(AGENT, self.database)

    @property
    def settings(self) -> Settings:
        """As the commands see this world."""
        return Settings(
            home=self.platform.home.path,
            roster=self.roster_file,
            postgres=SecretStr(self.dsn),
        )

    def payer(self, short: str) -> Payer:
        """The payer of a name as shipped."""
        return self.roster.payer(f"{self.space}-{short}")

    def connections(self) -> Connections:
        """An operator's ways in."""
        return connection(self.settings, OPERATOR)

    @asynccontextmanager
    async def opened(self, role: str = OWNER) -> AsyncIterator[Any]:
        """A connection to the database."""
        opened = await asyncpg.connect(self.platform.dsn(role, self.database))
        try:
            yield opened
        finally:
            await opened.close(timeout=5)

    @asynccontextmanager
    async def working(self, workers: int = 1, *words: str) -> AsyncIterator[list[Kept]]:
        """Worker processes, kept running as `carepact up` keeps its own. `words` name another program than that."""
        kept = [Kept(WorkerOf(self, index, words), lambda: None) for index in range(workers)]
        try:
            for one in kept:
                await one.start()
            yield kept
        finally:
            await asyncio.gather(*(one.stop() for one in kept))
            for one in kept:
                print(one.part.output.read_text(encoding="utf-8", errors="replace"))  # type: ignore[attr-defined]

    async def command(self, *words: str, seconds: float = 200) -> tuple[int, str, str]:
        """`carepact ...` as a process; answers its exit code and what it printed."""
        environment = {**os.environ, **self.environment("command")}
        done = await asyncio.to_thread(forked.run, ["carepact", *words], environment, seconds)
        return done.returncode, done.stdout, done.stderr

    # -- what is published --------------------------------------------------------------------------------------------

    async def publish(self, short: str, lines: Sequence[bytes], chunk: int = 2_000) -> Published:
        """Lines of a payer's file through the door; again from the first where Kafka was away, as people do."""
        payer = self.payer(short)
        file = self.folder / f"{self.space}-{short}-{len(self.sent[short])}.ndjson"
        file.write_bytes(b"".join(line + b"\n" for line in lines))
        self.sent[short] += lines

        async def published() -> Published | None:
            try:
                async with LogWriter(self.connections(), "carepact.test") as writer:
                    publisher = Publisher(await self.door(writer, payer), writer, RejectBook(payer.name, self.keys))
                    return await publisher.publish(read_file(file, "ndjson"), chunk=chunk)
            except KafkaError:
                return None

        made: Published = await until(published, f"Kafka has all of {file.name}")
        assert not made.rejected
        return made

    async def close_day(self, through: date) -> None:
        """Time passes for every payer."""
        self.closed_through = through.isoformat()
        async with LogWriter(self.connections(), "carepact.test") as writer:
            for payer in self.roster.payers:
                await close_day(writer, await self.door(writer, payer), through)

    async def door(self, writer: LogWriter, payer: Payer) -> Door:
        declared = {topic.name: topic for topic in topics(self.roster, self.settings.log_partitions)}
        return Door(payer, self.keys, await writer.partitions(declared[log_topic(payer.name)]))

    async def settled(self) -> None:
        """Everything published is projected and relayed."""
        await wait(self.settings, SETTLED_SECONDS)

    # -- what must hold -----------------------------------------------------------------------------------------------

    async def assert_whole(self) -> None:
        """Every event is applied once, every payment is once in the ledger and on its topic, and replay agrees."""
        async with self.opened() as database:
            for payer in self.roster.payers:
                await self._assert_applied_once(database, payer)
                await self._assert_paid_once(database, payer)
            assert await database.fetchval("SELECT count(*) FROM outbox") == 0
            assert await database.fetchval("SELECT count(*) FROM halted_partition") == 0
        report = await verify(self.connections(), self.roster.payers)
        assert report.difference is None, report.difference.as_json()
        assert report.behind == 0

    async def _assert_applied_once(self, database: Any, payer: Payer) -> None:
        records = await records_of(self.connections(), log_topic(payer.name))
        told = {(record.partition, orjson.loads(record.value)["id"]) for record in records}
        facts = await database.fetch("SELECT partition, event_id::text FROM fact WHERE payer = $1", payer.name)
        assert len(facts) == len(told)
        assert {(row[0], row[1]) for row in facts} == told
        rows = await database.fetch(
            "SELECT partition, next_offset FROM consumer_offset WHERE consumer = 'contract' AND topic = $1",
            log_topic(payer.name),
        )
        assert dict(map(tuple, rows)) == Counter(record.partition for record in records)

    async def _assert_paid_once(self, database: Any, payer: Payer) -> None:
        records = await records_of(self.connections(), payments_topic(payer.name))
        emitted = [orjson.loads(record.value) for record in records]
        paid = await database.fetch("SELECT payment_id::text, event FROM payment WHERE payer = $1", payer.name)
        assert Counter(event["id"] for event in emitted) == Counter(row["payment_id"] for row in paid)
        assert sorted(record.value for record in records) == sorted(row["event"] for row in paid)
        sequences = defaultdict(list)
        for event in emitted:
            sequences[event["subject"]].append(int(event["sequence"]))
        for numbers in sequences.values():
            assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        unbalanced = await database.fetch(
            """
            SELECT payment_id FROM payment p LEFT JOIN ledger_line l USING (payment_id) WHERE p.payer = $1
             GROUP BY payment_id, p.amount_cents
            HAVING count(l.line) < 2 OR sum(l.amount_cents) <> 0
                OR sum(l.amount_cents) FILTER (WHERE l.amount_cents > 0) <> abs(p.amount_cents)
            """,
            payer.name,
        )
        assert unbalanced == []

    async def assert_as_folded_elsewhere(self) -> None:
        """Episodes, their paid months and cents are those of an independent fold of the published lines."""
        for short in self.payers:
            if self.sent[short]:
                assert await self.found(short) == self.expected(short)

    def expected(self, short: str) -> dict[tuple[str, date], Row]:
        """What the independent fold makes of the lines published, by member and start."""
        events, practices = self.folder / "sent.ndjson", self.folder / "practices.ndjson"
        for file, about in ((events, True), (practices, False)):
            file.write_bytes(b"".join(line + b"\n" for line in self.sent[short] if (b'"person":' in line) == about))
        folded = fold(short, events, practices, self.closed_through)
        assert folded.episodes
        return {
            (self.token(short, *e.member), e.start): (
                *(e.end, e.cancer_type, e.status, e.void_reason, e.exclusion, e.included, e.practice),
                {month: cents for month, cents in e.months.items() if cents},
            )
            for e in folded.episodes
        }

    async def found(self, short: str) -> dict[tuple[str, date], Row]:
        """The same from the database."""
        async with self.opened() as database:
            rows = await database.fetch(
                """
                SELECT e.member, e.started_on, e.ends_on, e.cancer_type, e.status, e.void_reason, e.exclusion,
                       e.included, e.practice, coalesce(p.months, '{}') AS months
                  FROM episode e
                  LEFT JOIN LATERAL (
                       SELECT jsonb_object_agg(period, cents)::text AS months FROM (
                              SELECT period, sum(amount_cents)::bigint AS cents FROM payment
                               WHERE episode_id = e.episode_id AND kind IN ('MEOS', 'CARE_FEE')
                               GROUP BY period HAVING sum(amount_cents) <> 0) m) p ON true
                 WHERE e.payer = $1 AND e.to_offset IS NULL AND e.status <> 'cancelled'
                """,
                self.payer(short).name,
            )
            cancelled = await database.fetchval(
                """
                SELECT coalesce(sum(p.amount_cents), 0) FROM payment p JOIN episode e USING (episode_id)
                 WHERE e.to_offset IS NULL AND e.status = 'cancelled'
                """
            )
        assert cancelled == 0
        return {(row[0], row[1]): (*tuple(row)[2:-1], orjson.loads(row["months"])) for row in rows}

    def token(self, short: str, plan: str, kind: str, value: str) -> str:
        """The token of a member of a file."""
        key = self.keys.payer_keys(self.payer(short).name).pseudonym
        return member_token(identifier_digest(key, plan, Identifier(kind=kind, value=value)))

    async def rows(self) -> dict[str, list[Row]]:
        """Every row that the log alone decides, sorted by business key."""
        async with self.opened() as database:
            return {
                table: [tuple(row) for row in await database.fetch(query)]
                for table, query in QUERIES.items()
                if table not in ("outbox", "order")
            }

    async def emitted(self) -> list[tuple[str, str, bytes]]:
        """All that the payers' topics say, by subject and its sequence."""
        found = []
        for payer in self.roster.payers:
            for record in await records_of(self.connections(), payments_topic(payer.name)):
                event = orjson.loads(record.value)
                found.append((event["subject"], event["sequence"], record.value))
        return sorted(found)


@asynccontextmanager
async def world_of(
    platform: LocalPlatform, space: str, folder: Path, payers: Sequence[str] = PAYERS
) -> AsyncIterator[World]:
    """A world, and its end."""
    world = World(platform, space, folder, payers)
    await world.make()
    try:
        yield world
    finally:
        await world.drop_database()
        world.keys.close()


def population(folder: Path, space: str, members: int, seed: int) -> dict[str, list[bytes]]:
    """The lines of every payer's generated file, plans named as in the space; `practices` is for each of them."""
    made = folder / f"population-{members}-{seed}"
    write(made, members, seed)
    lines = {name: (made / f"{name}.ndjson").read_bytes().splitlines() for name in (*PAYERS, "practices")}
    for plan in PLANS:
        named = f'"plan":"{plan}"'.encode(), f'"plan":"{space}-{plan}"'.encode()
        lines["employers"] = [line.replace(*named) for line in lines["employers"]]
    return lines


def dealt(lines: Iterable[bytes], hands: int) -> list[list[bytes]]:
    """Lines dealt out by member, so that each hand has whole lives in order."""
    order: dict[str, int] = {}
    made: list[list[bytes]] = [[] for _ in range(hands)]
    for line in lines:
        who = orjson.loads(line)["data"]["person"]["identifier"]["value"]
        made[order.setdefault(who, len(order) % hands)].append(line)
    return made


async def until(holds: Callable[[], Any], what: str, seconds: float = 150) -> Any:
    """Ask until the answer is true; a store tells nobody when it changes. Answers the answer."""
    pause, longest = LOOK_SECONDS
    try:
        async with asyncio.timeout(seconds):
            while not (answer := await holds()):
                await asyncio.sleep(pause)
                pause = min(pause * 1.2, longest)
            return answer
    except TimeoutError:
        raise AssertionError(f"not within {seconds:g} s: {what}") from None


def roster_toml(roster: Roster) -> str:
    """A roster as its file."""

    def table(name: str, given: dict[str, str]) -> str:
        return f"[[{name}]]\n" + "".join(f'{key} = "{value}"\n' for key, value in given.items())

    parts = [f'space = "{roster.space}"\n']
    for payer in roster.payers:
        parts.append(table("payers", payer.model_dump(exclude={"plans"}, exclude_defaults=True)))
        parts += [table("payers.plans", plan.model_dump()) for plan in payer.plans]
    return "\n".join(parts)

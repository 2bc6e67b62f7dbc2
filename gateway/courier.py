"""Sends one endpoint its feed: each event once by its id, those of one subject in their order.

New events are tried at once, some subjects beside each other. One that fails waits by `DELAYS`, and with it what comes
behind it of its subject; others go on. After `STRIKES` failures in a row nothing is read any more, and the oldest event
alone is tried now and then, until one is taken. An event that was not taken for three days is given up, and an endpoint
that took nothing for five is disabled; so is one that answers 410, at once. All of that stands in PostgreSQL.

What was sent and not yet written down is sent again after a crash: the receiver tells by `webhook-id`.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
import structlog
from aiokafka.errors import KafkaError
from standardwebhooks import Webhook

from gateway.reaching import Answer, Reach
from gateway.signing import headers, opened_secret
from gateway.tails import STORE_ERRORS, Tail, Tails
from projections import webhooks
from projections.feed import OtherHistory, Page, emitted_of
from projections.webhooks import Attempt, Done, Endpoint, Owed, Standing
from streams.endpoint_acts import State, about

DELAYS = tuple(timedelta(seconds=each) for each in (5, 30, 120, 600, 1_800, 3_600, 7_200, 14_400, 21_600, 28_800))
PROBES = DELAYS[:4]
STRIKES = 3
GIVEN_UP_AFTER = timedelta(days=3)
DISABLED_AFTER = timedelta(days=5)
AT_ONCE_OWED = 250
SLICE_SECONDS = 5.0
LONGEST_WAIT_SECONDS = 60.0
AWAY_SECONDS = 2.0
BY = "deliverer"
GONE, EXHAUSTED = "the receiver answered 410", "nothing was taken for five days"

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Means:
    """What couriers share. `writing` gives an agent's connection, `compare` holds the lease against a transaction.

    `state` has an act in the operations topic: an endpoint that is disabled is one.
    """

    reach: Reach
    tails: Tails
    reading: Callable[[], AbstractAsyncContextManager[Any]]
    writing: Callable[[], AbstractAsyncContextManager[Any]]
    compare: Callable[[Any], Awaitable[None]]
    key: bytes
    in_flight: asyncio.Semaphore
    state: State
    now: Callable[[], datetime] = lambda: datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Parcel:
    """An event to be sent now. `type` is known where it was just read."""

    owed: Owed
    body: bytes
    type: str = ""


@dataclass
class Slice:
    """What some seconds of sending came to."""

    done: list[Done] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    gone: bool = False


class Courier:
    """One endpoint's. `run` ends when it was stopped, or when the endpoint is not as it was."""

    def __init__(self, endpoint: Endpoint, means: Means) -> None:
        self._of, self._means = endpoint, means
        self._place = endpoint.place
        self._strikes, self._failing_since = endpoint.strikes, endpoint.failing_since
        self._probe_at = endpoint.probe_at
        self._due_at: datetime | None = datetime.min.replace(tzinfo=UTC)
        self._wake = asyncio.Event()
        self._over = False
        self._cut = False  # who answers with more than is read, or slowly, is sent one event at a time
        self._signers = [Webhook(opened_secret(means.key, endpoint.endpoint_id, endpoint.secret))]
        self._old: Webhook | None = None
        if endpoint.old_secret:
            self._old = Webhook(opened_secret(means.key, endpoint.endpoint_id, endpoint.old_secret))

    @property
    def ailing(self) -> bool:
        """Whether the endpoint took nothing of late."""
        return self._strikes >= STRIKES

    def stop(self) -> None:
        """Finish what is under way, and end."""
        self._over = True
        self._wake.set()

    async def run(self) -> None:
        """Send what there is and what comes."""
        while not self._over:
            try:
                async with self._means.tails.followed(self._of.tenant, self._wake) as tail:
                    while not self._over:
                        await self._rest(await self.step(tail))
            except OtherHistory:
                self._place = None  # from the beginning; what it has is known by its id
            except STORE_ERRORS as error:
                log.warning("endpoint_waits_for_store", endpoint=str(self._of.endpoint_id), error=type(error).__name__)
                await self._rest(AWAY_SECONDS)

    async def _rest(self, seconds: float) -> None:
        if seconds and not self._over:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._wake.wait()

    async def step(self, tail: Tail) -> float:
        """Do the next thing; answers for how many seconds there is nothing to do, unless something is emitted."""
        self._wake.clear()
        if self._over:
            return 0.0
        at = self._means.now()
        if self.ailing and self._probe_at is not None and self._probe_at > at:
            return min(LONGEST_WAIT_SECONDS, (self._probe_at - at).total_seconds())
        if owed := await self._owed(at):
            await self._again(owed)
        if owed or self._over:
            return 0.0
        if self.ailing:
            self._strikes = 0  # nothing waits, so there is nothing else to try it by
        page = await self._page(tail)
        if page.events:
            await self._first(page)
            return 0.0
        self._place = page.at
        if self._due_at is None:
            return LONGEST_WAIT_SECONDS
        return min(LONGEST_WAIT_SECONDS, max(0.001, (self._due_at - at).total_seconds()))

    async def _owed(self, at: datetime) -> list[Owed]:
        if not self.ailing and (self._due_at is None or self._due_at > at):
            return []
        async with self._means.writing() as connection:
            most, due_at = (1, None) if self.ailing else (AT_ONCE_OWED, at)
            owed = await webhooks.waiting(connection, self._of.endpoint_id, most, due_at)
            if not owed and not self.ailing:
                self._due_at = await webhooks.next_due(connection, self._of.endpoint_id)
            return owed if await self._stands(connection) else []

    async def _stands(self, connection: Any) -> bool:
        """Whether the endpoint is as it was; else this ends, for nothing is sent to what was paused or changed."""
        self._over = self._over or not await webhooks.stands(connection, self._of)
        return not self._over

    async def _page(self, tail: Tail) -> Page:
        found = tail.page(self._place) if self._place is not None else None
        return found if found is not None else await self._means.tails.read(self._of.tenant, self._place)

    async def _again(self, owed: Sequence[Owed]) -> None:
        """Try again what waits, with the bytes that its subscriber is told now."""
        async with self._means.reading() as connection:
            bodies = await emitted_of(connection, self._of.tenant, {each.event_id: each.subject for each in owed})
        at = self._means.now()
        made = Slice()
        made.done += [
            Done(each.event_id, each.subject, "gone", each.attempts, at, at)
            for each in owed
            if each.event_id not in bodies
        ]
        await self._send([Parcel(each, bodies[each.event_id]) for each in owed if each.event_id in bodies], made)
        await self._write(made)

    async def _first(self, page: Page) -> None:
        """Try a page of new events."""
        at = self._means.now()
        parcels = []
        for place, event in page.events:
            kind = str(orjson.loads(event).get("type", ""))
            if not self._of.event_types or kind in self._of.event_types:
                parcels.append(Parcel(Owed(place.event_id, place.subject, 0, at), event, kind))
        made = Slice()
        if parcels:
            async with self._means.writing() as connection:
                subjects = {each.owed.subject for each in parcels}
                ids = [each.owed.event_id for each in parcels]
                known, behind = await webhooks.held(connection, self._of, ids, list(subjects))
                if not await self._stands(connection):
                    return
            parcels = [each for each in parcels if each.owed.event_id not in known]
            made.done += [_waits(each, behind[each.owed.subject]) for each in parcels if each.owed.subject in behind]
            await self._send([each for each in parcels if each.owed.subject not in behind], made)
        self._place = page.at
        await self._write(made)

    async def _send(self, parcels: Sequence[Parcel], made: Slice) -> None:
        """Send for some seconds; what was not tried then waits, and is next."""
        subjects: dict[str, list[Parcel]] = {}
        for parcel in parcels:
            subjects.setdefault(parcel.owed.subject, []).append(parcel)
        queue = deque(subjects.values())
        until = time.monotonic() + SLICE_SECONDS
        was_ailing = self.ailing

        def stop() -> bool:
            return self._over or made.gone or time.monotonic() > until or (self.ailing and not was_ailing)

        async def lane() -> None:
            while queue:
                mine = deque(queue.popleft())
                while mine and not stop():
                    held_until = await self._one(mine.popleft(), made)
                    if held_until is not None:
                        made.done += [_waits(each, held_until) for each in mine]
                        mine.clear()
                made.done += [_waits(each, self._means.now()) for each in mine]

        async with asyncio.TaskGroup() as group:
            for _ in range(min(1 if self._cut else self._of.at_once, len(queue))):
                group.create_task(lane())

    async def _one(self, parcel: Parcel, made: Slice) -> datetime | None:
        """One attempt; answers until when the rest of the subject waits, if it was not taken."""
        owed = parcel.owed
        async with self._means.in_flight:
            at = self._means.now()
            answer = await deliver(self._means.reach, self._of.url, self.signers(at), owed.event_id, at, parcel.body)
        self._cut = answer.cut
        made.attempts.append(Attempt(owed.event_id, at, answer.outcome, answer.status, answer.ms))
        tried = owed.attempts + 1
        if answer.ok:
            self._strikes = 0
            made.done.append(Done(owed.event_id, owed.subject, "delivered", tried, at, at, parcel.type))
            return None
        self._strikes += 1
        made.gone = made.gone or answer.outcome == "no_longer_wanted"
        if at - owed.queued_at >= GIVEN_UP_AFTER:
            made.done.append(Done(owed.event_id, owed.subject, "failed", tried, at, at, parcel.type))
            return at
        next_at = at + DELAYS[min(owed.attempts, len(DELAYS) - 1)]
        made.done.append(Done(owed.event_id, owed.subject, "waiting", tried, next_at, None, parcel.type))
        return next_at

    def signers(self, at: datetime) -> list[Webhook]:
        """The secrets that sign now."""
        overlaps = self._old is not None and self._of.old_until is not None and at < self._of.old_until
        return [*self._signers, *([self._old] if self._old is not None and overlaps else [])]

    async def _write(self, made: Slice) -> None:
        """Write down what was done, however long the database is away: it must not be done again."""
        at = self._means.now()
        standing, release = self._standing(made, at)
        while True:
            try:
                async with self._means.writing() as connection, connection.transaction():
                    await self._means.compare(connection)
                    current = await webhooks.write(
                        connection, self._of, at, standing, made.done, made.attempts,
                        release=release, give_up_before=at - GIVEN_UP_AFTER,
                    )  # fmt: skip
                    if current and standing.status != "active":
                        act = about(self._of.tenant, BY, self._of.endpoint_id, "disabled", why=standing.why)
                        await webhooks.acted(connection, self._of.endpoint_id, (await self._means.state(act)).offset)
                break
            except (*STORE_ERRORS, KafkaError) as error:
                log.warning("attempts_not_written", endpoint=str(self._of.endpoint_id), error=type(error).__name__)
                await asyncio.sleep(AWAY_SECONDS)
        if not current or standing.status != "active":
            self._over = True
        self._failing_since, self._probe_at = standing.failing_since, standing.probe_at
        self._of = replace(self._of, failing_since=standing.failing_since, strikes=standing.strikes)
        if release or any(each.status != "delivered" for each in made.done):
            self._due_at = at
        if standing.status != "active":
            log.warning("endpoint_disabled", endpoint=str(self._of.endpoint_id), why=standing.why)

    def _standing(self, made: Slice, at: datetime) -> tuple[Standing, bool]:
        since = (self._failing_since or at) if self._strikes else None
        probe_at = at + PROBES[min(self._strikes - STRIKES, len(PROBES) - 1)] if self.ailing else None
        why = GONE if made.gone else EXHAUSTED if since is not None and at - since >= DISABLED_AFTER else ""
        standing = Standing("disabled" if why else "active", why, self._place, since, self._strikes, probe_at)
        return standing, self._of.strikes >= STRIKES and not self.ailing


async def deliver(
    reach: Reach, url: str, signers: Sequence[Webhook], event_id: UUID, at: datetime, body: bytes
) -> Answer:
    """One signed post."""
    return await reach.post(url, headers(signers, str(event_id), at, body), body)


def test_event(of: Endpoint, event_id: UUID, at: datetime) -> bytes:
    """An event that says nothing, to try an endpoint by."""
    return orjson.dumps(
        {
            "specversion": "1.0",
            "id": str(event_id),
            "source": f"/carepact/{of.tenant.payer}/webhooks",
            "type": "carepact.EndpointTested.v1",
            "time": at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "data": {"endpoint_id": str(of.endpoint_id)},
        }
    )


def _waits(parcel: Parcel, until: datetime) -> Done:
    owed = parcel.owed
    return Done(owed.event_id, owed.subject, "waiting", owed.attempts, until, None, parcel.type)

"""Tells recipients of a person's return to work, under the person's authorization alone (rules E.4).

Beside the agents and out of their way: what they folded is looked through for authorizations and their ends; each
return that stood while one held is sealed under that authorization's own key, in a table and nowhere else. Whatever
ends an authorization (its revocation, its last day, the person's erasure) destroys the key. Everything follows from the
log, so that a lost table is made again with the same ids, and what is over stays over.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import asyncpg
import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from contracts.authorizations import GIVEN, RETURN_TO_WORK, REVOKED, Authorizations, told, told_id
from contracts.envelope import schema_urn
from contracts.events.authorizations import ReturnToWorkTold
from projections import individual
from projections.individual import Candidate, FactAt, Told
from streams.codec import decode_record
from streams.connections import Connections
from streams.key_errors import KeyDestroyed
from streams.keys import WrappedKeyStore
from streams.reading import LogReader, log_reader
from streams.restarting import Restarting
from streams.roster import Roster
from streams.topics import log_topic

KEY = "authorization"
LOOK_SECONDS = 1.0
_NONCE_BYTES = 12


def key_name(member: str, authorization_id: str) -> str:
    """Of an authorization's key in the key store."""
    return f"{member}|{authorization_id}"


class Individual(Restarting):
    """Looks through what was folded, as long as it runs. Several may run: one of them writes at a time."""

    def __init__(
        self, connections: Connections, roster: Roster, open_keys: Callable[[], WrappedKeyStore], **service: Any
    ) -> None:
        super().__init__(**service)
        self._connections, self._open_keys = connections, open_keys
        self._payers = [payer.name for payer in roster.payers if payer.plans]

    async def run(self, stopped: Callable[[], bool]) -> None:
        """Look until `stopped()`."""
        keys = await asyncio.to_thread(self._open_keys)
        connection = await asyncpg.connect(self._connections.postgres, timeout=10, command_timeout=60)
        try:
            async with log_reader(self._connections) as reader:
                while not stopped():
                    for payer in self._payers:
                        while await look(connection, reader, keys, payer, datetime.now(UTC).date()):
                            pass
                    await self.sleep(LOOK_SECONDS)
        finally:
            await connection.close()


async def look(connection: Any, reader: LogReader, keys: WrappedKeyStore, payer: str, today: date) -> bool:
    """Take in what was folded since the last look; answers whether there was anything."""
    stretches = await individual.unread(connection, payer, log_topic(payer))
    for partition, first, last in stretches:
        facts = await individual.facts_of(connection, payer, partition, first, last)
        heard = await _records(reader, payer, facts)
        async with connection.transaction():
            await individual.lock(connection, payer)
            if await individual.read_through(connection, payer, partition, first, last):
                for fact in facts:
                    await _destroy(keys, payer, await _take(connection, payer, fact, heard.get(fact.log_offset)))
    if stretches:
        await _tell(connection, keys, payer, today)
    await _destroy(keys, payer, await individual.expire(connection, payer, today))
    return bool(stretches)


async def _records(reader: LogReader, payer: str, facts: Sequence[FactAt]) -> dict[int, Any]:
    """What the facts of one partition say, by offset."""
    topic = log_topic(payer)
    wanted = [fact.log_offset for fact in facts if fact.type in (GIVEN, REVOKED)]
    if not wanted:
        return {}
    at = topic, facts[0].partition
    records = await reader.records({at: wanted})
    return {
        offset: decode_record(*at, offset, record.timestamp, record.key, record.value)
        for (_, _, offset), record in records.items()
    }


async def _take(connection: Any, payer: str, at: FactAt, fact: Any) -> list[tuple[str, str]]:
    if at.type == GIVEN:
        held = Authorizations()
        held.take(fact)
        for name, given in held.given.items():
            if given.scope == RETURN_TO_WORK:
                await individual.give(connection, payer, at, name, given)
        return []
    named = fact.data.authorization_id if at.type == REVOKED else None
    return [(at.member, name) for name in await individual.revoke(connection, payer, at, named)]


async def _tell(connection: Any, keys: WrappedKeyStore, payer: str, today: date) -> None:
    """Seal what is not told yet. Where an authorization is over its key is gone, and the id alone is kept."""
    found: dict[UUID, tuple[Candidate, str, date]] = {}
    for one in await individual.candidates(connection, payer):
        what = told(one.status, one.partial_on, one.returned_on, one.lapsed_on)
        if what is not None:
            name = UUID(told_id(payer, one.member, one.authorization_id, *what))
            found.setdefault(name, (one, *what))
    for name in await individual.known(connection, list(found)):
        del found[name]
    if not found:
        return
    over = [(one.member, one.authorization_id) for one, _, _ in found.values() if one.expires_on < today]
    await _destroy(keys, payer, over)
    names = [key_name(one.member, one.authorization_id) for one, _, _ in found.values()]
    own = await asyncio.to_thread(keys.own_keys, payer, KEY, names)
    rows = []
    for name, (one, status, on) in found.items():
        key = own[key_name(one.member, one.authorization_id)]
        rows.append((name, one, None if key is None else _sealed(key, name, payer, one, status, on)))
    async with connection.transaction():
        await individual.lock(connection, payer)
        await individual.tell(connection, payer, rows)


def _sealed(key: bytes, name: UUID, payer: str, one: Candidate, status: str, on: date) -> bytes:
    envelope = {
        "specversion": "1.0",
        "id": str(name),
        "source": f"/carepact/{payer}",
        "type": ReturnToWorkTold.type_name(),
        "subject": one.authorization_id,
        "datacontenttype": "application/json",
        "dataschema": schema_urn(ReturnToWorkTold),
        "plan": one.recipient,
        "data": {"status": status, "on": on.isoformat()},
    }
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, orjson.dumps(envelope), name.bytes)


async def _destroy(keys: WrappedKeyStore, payer: str, ended: Sequence[tuple[str, str]]) -> None:
    if ended:
        await asyncio.to_thread(keys.destroy_own, payer, KEY, [key_name(*one) for one in ended])


def opened(keys: WrappedKeyStore, row: Told) -> bytes | None:
    """The event of a row; None where its key is gone. Blocks."""
    if row.sealed is None:
        return None
    try:
        key = keys.own_key(row.payer, KEY, key_name(row.member, row.authorization_id))
        return AESGCM(key).decrypt(row.sealed[:_NONCE_BYTES], row.sealed[_NONCE_BYTES:], row.event_id.bytes)
    except (KeyDestroyed, InvalidTag):
        return None

"""Why a payment is what it is, and why an episode is what it is: down to clause, dated value and log position."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any
from uuid import UUID

import msgspec

from contracts.claims import survivors
from contracts.given_back import tried
from contracts.in_or_out import in_or_out
from contracts.parts import ClaimRecord, Episode, Family, read_ref
from contracts.units import FOREVER
from projections.episodes import episodes
from projections.packing import unpack
from projections.payment_life import life_of
from projections.payments import payments
from projections.positions import NOW, AsOf, position
from projections.warnings import at_risk

NOBODY = UUID(int=0)
NO_END = (1 << 63) - 1


async def explain_payment(connection: Any, payment_id: str, as_of: AsOf = NOW) -> dict[str, Any] | None:
    """The payment's lines with their terms, the facts it rests on, and what became of it by then; None if not there."""
    row = await connection.fetchrow("SELECT * FROM payment WHERE payment_id = $1", _uuid(payment_id))
    if row is None:
        return None
    end = (await as_of.cut(connection)).get((row["payer"], row["partition"]), NO_END)
    if row["log_offset"] >= end:
        return None
    event = msgspec.json.decode(row["event"])["data"]
    offsets = [fact["position"]["offset"] for fact in event["facts"]]
    digests = await _digests(connection, row, offsets)
    reversed_by = await connection.fetchval(
        "SELECT payment_id FROM payment WHERE payer = $1 AND member = $2 AND reverses = $3 AND log_offset < $4",
        row["payer"], row["member"], row["payment_id"], end,
    )  # fmt: skip
    return {
        "payment_id": str(row["payment_id"]),
        "amount_cents": row["amount_cents"],
        "lines": [_line(line) for line in event["lines"]],
        "facts": [_fact(fact, digests) for fact in event["facts"]],
        "contract": {
            "id": row["contract"],
            "version": event["contract_version"],
            "digest": event["contract_digest"],
        },
        "as_of": [position(row)],
        "payer": row["payer"],
        "plan": row["plan"],
        "kind": row["kind"],
        "period": row["period"],
        "effective_on": row["effective_on"].isoformat(),
        "member": row["member"],
        "episode_id": str(row["episode_id"]) if row["episode_id"] else None,
        "practice": row["practice"] or None,
        "cause": str(row["cause"]),
        "cause_kind": event["cause_kind"],
        "reverses": str(row["reverses"]) if row["reverses"] else None,
        "supersedes": str(row["supersedes"]) if row["supersedes"] else None,
        "reversed_by": str(reversed_by) if reversed_by else None,
        "life": await life_of(connection, row["payment_id"], as_of),
        "illustrative": any(term["illustrative"] for line in event["lines"] for term in line["terms"]),
        "try": tried(event),
    }


def _line(line: Mapping[str, Any]) -> dict[str, Any]:
    named = ("name", "value", "unit", "from", "dated_by", "source", "illustrative", "status")
    terms = [{name: term[name] for name in named} for term in line["terms"]]
    return {name: line[name] for name in ("clause", "label", "arithmetic", "amount_cents")} | {"terms": terms}


def _fact(fact: Mapping[str, Any], digests: Mapping[int, str]) -> dict[str, Any]:
    at = fact["position"]
    return {
        "event_id": fact["event_id"],
        "type": fact["type"],
        "topic": at["topic"],
        "partition": at["partition"],
        "offset": at["offset"],
        "digest": digests.get(at["offset"]),
        "says": fact["says"],
    }


async def _digests(connection: Any, row: Any, offsets: Iterable[int]) -> dict[int, str]:
    """The stored facts' digests by offset; a fact is the member's own, or a broadcast of its partition."""
    found = await connection.fetch(
        """
        SELECT log_offset, digest FROM fact
         WHERE partition = $1 AND payer = $2 AND member IN ('', $3) AND log_offset = ANY($4::bigint[])
        """,
        row["partition"],
        row["payer"],
        row["member"],
        list(offsets),
    )
    return {one["log_offset"]: one["digest"] for one in found}


async def explain_episode(
    connection: Any, episode_id: str, as_of: AsOf = NOW, on: date | None = None
) -> dict[str, Any] | None:
    """The episode as it is, its versions, every claim of the member in or out and why, and the payments in force.

    All of it as known at `as_of`; with `on`, of claims and payments those for services through that day.
    """
    through = on.isoformat() if on else FOREVER
    found = [one async for one in episodes(connection, episode_id=str(_uuid(episode_id) or NOBODY), as_of=as_of)]
    if not found:
        return None
    (episode,) = found
    at = episode["position"]
    end = (await as_of.cut(connection)).get((episode["payer"], at["partition"]), NO_END)
    versions = await connection.fetch(
        "SELECT * FROM episode WHERE episode_id = $1 AND from_offset < $2 ORDER BY version",
        UUID(episode["episode_id"]), end,
    )  # fmt: skip
    paid = [one async for one in payments(connection, episode_id=episode["episode_id"], as_of=as_of, on=on)]
    gone = {one["reverses"] for one in paid if one["reverses"]}
    return {
        **episode,
        "versions": [_version(row) for row in versions],
        "claims": await _claims(connection, episode, end, through),
        "payments": [one for one in paid if not one["reverses"] and one["payment_id"] not in gone],
        "payments_cents": sum(one["amount_cents"] for one in paid),
        "waits": await _waits(connection, episode),
        "at_risk": [one async for one in at_risk(connection, episode_id=episode["episode_id"], as_of=as_of)],
    }


async def _waits(connection: Any, episode: Mapping[str, Any]) -> list[dict[str, str]]:
    """What is due and waits, as things stand now, for a term that is not in force on its day."""
    row = await connection.fetchrow(
        "SELECT data FROM state_part WHERE payer = $1 AND member = $2 AND kind = 'episode' AND key = $3",
        episode["payer"], episode["member"], episode["started_on"],
    )  # fmt: skip
    held = unpack(Episode, row["data"]).waits if row is not None else {}
    return [
        {"kind": key.partition("|")[0], "period": key.partition("|")[2], "reason": reason}
        for key, reason in sorted(held.items())
    ]


def _version(row: Any) -> dict[str, Any]:
    return {
        "version": row["version"],
        "status": row["status"],
        "void_reason": row["void_reason"] or None,
        "exclusion": row["exclusion"] or None,
        "cancer_type": row["cancer_type"] or None,
        "practice": row["practice"] or None,
        "closed": row["closed"],
        "cause": str(row["cause_event_id"]),
        "position": position(row, "from_offset"),
    }


async def _claims(connection: Any, episode: Mapping[str, Any], end: int, through: str) -> list[dict[str, Any]]:
    """Every version of a claim that came before `end`, for services that began by the day `through`."""
    rows = await connection.fetch(
        "SELECT key, data, partition FROM state_part WHERE payer = $1 AND member = $2 AND kind = 'claim' ORDER BY key",
        episode["payer"],
        episode["member"],
    )
    topic, partition = episode["position"]["topic"], episode["position"]["partition"]
    claims = []
    for row in rows:
        records = [record for record in unpack(Family, row["data"]).records if record.ref[2] < end]
        surviving = set(survivors(records))
        for index, record in enumerate(records):
            if first_day(record) > through:
                continue
            counted = [unit for at, unit in enumerate(record.units) if (index, at) in surviving]
            event_id, kind, offset = read_ref(record.ref)
            inside, reason = in_or_out(record, counted, episode["started_on"], episode["ends_on"])
            claims.append(
                {
                    "claim_id": record.claim_id,
                    "family": row["key"],
                    "action": record.action,
                    "in": inside,
                    "reason": reason,
                    "lines": len(record.units),
                    "lines_counted": len(counted),
                    "event_id": event_id,
                    "type": kind,
                    "topic": topic,
                    "partition": partition,
                    "offset": offset,
                }
            )
    return claims


def first_day(record: ClaimRecord) -> str:
    """The first day of service that a version of a claim names, or the day it took effect."""
    days = [item[2][:10] for unit in record.units for item in unit.evidence]
    days += [item[0] for unit in record.units for item in unit.spend]
    return min(days, default=record.effective_on)


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None

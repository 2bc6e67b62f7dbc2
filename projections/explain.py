"""Why a payment is what it is, and why an episode is what it is: down to clause, dated value and log position."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

import msgspec

from contracts.parts import ClaimRecord, Family, Unit, read_ref
from projections.episodes import episodes
from projections.payments import payments
from projections.positions import NOW, AsOf, position

NOBODY = UUID(int=0)
_read_family = msgspec.msgpack.Decoder(Family).decode


async def explain_payment(connection: Any, payment_id: str) -> dict[str, Any] | None:
    """The payment's lines with their terms, the facts it rests on, and what became of it; None if there is none."""
    row = await connection.fetchrow("SELECT * FROM payment WHERE payment_id = $1", _uuid(payment_id))
    if row is None:
        return None
    event = msgspec.json.decode(row["event"])["data"]
    offsets = [fact["position"]["offset"] for fact in event["facts"]]
    digests = await _digests(connection, row, offsets)
    reversed_by = await connection.fetchval("SELECT payment_id FROM payment WHERE reverses = $1", row["payment_id"])
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
        "illustrative": any(term["illustrative"] for line in event["lines"] for term in line["terms"]),
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


async def explain_episode(connection: Any, episode_id: str, as_of: AsOf = NOW) -> dict[str, Any] | None:
    """The episode as it is, its versions, every claim of the member in or out and why, and the payments in force."""
    found = [one async for one in episodes(connection, episode_id=str(_uuid(episode_id) or NOBODY), as_of=as_of)]
    if not found:
        return None
    (episode,) = found
    versions = await connection.fetch(
        "SELECT * FROM episode WHERE episode_id = $1 ORDER BY version", UUID(episode["episode_id"])
    )
    paid = [one async for one in payments(connection, episode_id=episode["episode_id"], as_of=as_of)]
    gone = {one["reverses"] for one in paid if one["reverses"]}
    return {
        **episode,
        "versions": [_version(row) for row in versions],
        "claims": await _claims(connection, episode),
        "payments": [one for one in paid if not one["reverses"] and one["payment_id"] not in gone],
        "payments_cents": sum(one["amount_cents"] for one in paid),
    }


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


async def _claims(connection: Any, episode: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = await connection.fetch(
        "SELECT key, data, partition FROM state_part WHERE payer = $1 AND member = $2 AND kind = 'claim' ORDER BY key",
        episode["payer"],
        episode["member"],
    )
    topic, partition = episode["position"]["topic"], episode["position"]["partition"]
    claims = []
    for row in rows:
        family = _read_family(row["data"])
        surviving = {(record, unit) for record, unit in family.surviving}
        for index, record in enumerate(family.records):
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


def in_or_out(record: ClaimRecord, counted: list[Unit], start: str, end: str) -> tuple[bool, str]:
    """Whether a version of a claim counts in the days from `start` to `end`, and why."""
    if record.action == "void":
        return False, "a void takes another version away and counts for nothing itself"
    if record.note:
        return False, record.note
    if not counted:
        silent = not any(unit.counts for unit in record.units)
        return False, "every line is denied" if silent else "voided or replaced by a later version"
    days = sorted({day for unit in counted for day in _days(unit)})
    if not days:
        return False, "names no day and no amount that the contract counts"
    inside = [day for day in days if start <= day <= end]
    if inside:
        return True, f"service on {inside[0]} is within {start} to {end}"
    if days[-1] < start:
        return False, f"service on {days[-1]} is before the episode began on {start}"
    if days[0] > end:
        return False, f"service on {days[0]} is after the episode ended on {end}"
    return False, f"services on {days[0]} to {days[-1]} are all outside {start} to {end}"


def _days(unit: Unit) -> Iterable[str]:
    yield from (item[2][:10] for item in unit.evidence)
    yield from (item[0] for item in unit.spend)


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None

"""What followed from a fact: versions of episodes and of returns to work, spending moved, payments that it caused or
that rest on it and what became of those, and the settlements and releases to an employer that counted it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec

from contracts.envelope import broadcast_copy_id
from contracts.recoupment_risk import KIND as WARNING
from projections.positions import NOW, AsOf, position

NO_END = (1 << 63) - 1
PARTITIONS_MAX = 1_000

_BROADCAST = """
    SELECT f.payer, f.partition, f.log_offset, f.type, f.plan, f.member, f.digest, f.known_at
      FROM unnest($1::uuid[], $2::int[]) u (event_id, partition)
      JOIN fact f ON f.event_id = u.event_id AND f.partition = u.partition
     ORDER BY f.payer, f.partition
"""
_OWN = """
    SELECT payer, partition, log_offset, type, plan, member, digest, known_at
      FROM fact WHERE event_id = $1 ORDER BY payer, partition
"""
_SPENDS = """
    SELECT e.episode_id, s.delta_cents, s.total_cents
      FROM (SELECT DISTINCT episode_id FROM episode WHERE payer = $1 AND member = $2) e
      JOIN episode_spend s ON s.episode_id = e.episode_id AND s.log_offset = $3
     ORDER BY e.episode_id
"""
_SETTLEMENTS = """
    SELECT DISTINCT s.request_id, s.practice, s.settlement_id::text, r.period, r.run
      FROM settlement s
      JOIN request r ON r.payer = s.payer AND r.request_id = s.request_id
      JOIN unnest($2::text[], $3::int[]) e (practice, period) ON e.practice = s.practice AND e.period = r.period
     WHERE s.payer = $1 AND (r.cut ->> $4::int::text)::bigint > $5 AND (r.cut ->> $4::int::text)::bigint <= $6
     ORDER BY r.period, s.practice, s.request_id
"""
_RELEASES = """
    SELECT r.plan, r.ordinal, r.window_on, r.event_id::text
      FROM employer_release r JOIN operation o ON o.event_id = r.event_id
     WHERE r.payer = $1 AND r.plan = $2 AND (o.data -> 'call_cut' ->> $3::int::text)::bigint > $4
       AND (o.data -> 'call_cut' ->> $3::int::text)::bigint <= $5
     ORDER BY r.ordinal
"""
_RETURNS = """
    SELECT * FROM return_to_work
     WHERE payer = $1 AND ($2 = '' OR member = $2) AND cause_event_id = $3 ORDER BY episode_id, version
"""


class _Resting(msgspec.Struct):
    """Of a payment's event, the facts it rests on."""

    data: _Facts


class _Facts(msgspec.Struct):
    facts: list[_Named]


class _Named(msgspec.Struct):
    event_id: str


_read = msgspec.json.Decoder(_Resting).decode


async def explain_fact(connection: Any, event_id: str, as_of: AsOf = NOW) -> dict[str, Any] | None:
    """A fact and all that followed from it by `as_of`; None if no log is known to have it.

    A broadcast is named by the id that its copies share; what it caused is told for all partitions.
    """
    try:
        name = UUID(event_id)
    except ValueError:
        return None
    cut = await as_of.cut(connection)
    found = await connection.fetch(_OWN, name) or await _copies(connection, str(name))
    copies = [row for row in found if row["log_offset"] < cut.get((row["payer"], row["partition"]), NO_END)]
    if not copies:
        return None
    first = copies[0]
    ends = {row["partition"]: cut.get((row["payer"], row["partition"]), NO_END) for row in copies}
    versions = await _episodes(connection, first, str(name), ends)
    paid = await _payments(connection, first, str(name), ends)
    spends = await connection.fetch(_SPENDS, first["payer"], first["member"], first["log_offset"])
    moved = [one for one in paid if one["cause"] == str(name)]
    return {
        "event_id": str(name),
        "type": first["type"],
        "payer": first["payer"],
        "plan": first["plan"],
        "member": first["member"] or None,
        "digest": first["digest"],
        "known_at": first["known_at"].isoformat(),
        "positions": [position(row) for row in copies],
        "episodes": _by_episode(versions, spends),
        "payments": [_shown(one) for one in moved],
        "payments_cents": sum(one["amount_cents"] for one in moved),
        "rests_on_it": [_shown(one) for one in paid if one["cause"] != str(name) and str(name) in one["facts"]],
        "returns_to_work": await _returns(connection, first, name, ends),
        "settlements": await _settlements(connection, first, versions, spends, ends),
        "releases": await _releases(connection, first, ends),
        "tree": [_tree(one, paid) for one in moved],
    }


async def _copies(connection: Any, fact_id: str) -> list[Any]:
    """The copies of a broadcast, if the id is one's."""
    copies = [UUID(broadcast_copy_id(fact_id, partition)) for partition in range(PARTITIONS_MAX)]
    rows: list[Any] = await connection.fetch(_BROADCAST, copies, list(range(PARTITIONS_MAX)))
    return rows


async def _episodes(connection: Any, fact: Any, name: str, ends: Mapping[int, int]) -> list[Any]:
    """The versions that the fact made; of a broadcast, those of any member."""
    rows = await connection.fetch(
        """
        SELECT * FROM episode
         WHERE payer = $1 AND ($2 = '' OR member = $2) AND cause_event_id = $3 ORDER BY episode_id, version
        """,
        fact["payer"],
        fact["member"],
        UUID(name),
    )
    return [row for row in rows if row["from_offset"] < ends.get(row["partition"], NO_END)]


async def _payments(connection: Any, fact: Any, name: str, ends: Mapping[int, int]) -> list[dict[str, Any]]:
    """The member's payments known by then, in their order; of a broadcast, all that it caused."""
    which = ("member = $2", "sequence") if fact["member"] else ("cause = $2::text::uuid", "member, sequence")
    rows = await connection.fetch(
        f"""
        SELECT payment_id, payer, kind, amount_cents, episode_id, practice, period, reverses, supersedes, cause,
               partition, log_offset, event
          FROM payment WHERE payer = $1 AND kind <> $3 AND {which[0]} ORDER BY {which[1]}
        """,  # noqa: S608 - one of two, above
        fact["payer"],
        fact["member"] or name,
        WARNING,
    )
    return [_told(row) for row in rows if row["log_offset"] < ends.get(row["partition"], NO_END)]


def _told(row: Any) -> dict[str, Any]:
    ids = ("payment_id", "episode_id", "reverses", "supersedes", "cause")
    return {
        **{name: str(row[name]) if row[name] else None for name in ids},
        "kind": row["kind"],
        "period": row["period"],
        "amount_cents": row["amount_cents"],
        "practice": row["practice"] or None,
        "position": position(row),
        "facts": {fact.event_id for fact in _read(row["event"]).data.facts},
    }


def _shown(payment: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in payment.items() if name != "facts"}


def _by_episode(versions: Sequence[Any], spends: Iterable[Any]) -> list[dict[str, Any]]:
    """Each episode moved: what of its spending, and its versions made."""
    made: dict[str, list[Any]] = defaultdict(list)
    for row in versions:
        made[str(row["episode_id"])].append(row)
    moved = {str(row["episode_id"]): (row["delta_cents"], row["total_cents"]) for row in spends}
    return [
        {
            "episode_id": episode_id,
            "spend_cents": moved.get(episode_id, (0, None))[0],
            "expenditure_cents": moved.get(episode_id, (0, None))[1],
            "versions": [
                {
                    "version": row["version"],
                    "status": row["status"],
                    "reason": row["void_reason"] or row["exclusion"] or None,
                    "practice": row["practice"] or None,
                    "position": position(row, "from_offset"),
                }
                for row in made[episode_id]
            ],
        }
        for episode_id in sorted(made.keys() | moved.keys())
    ]


async def _returns(connection: Any, fact: Any, name: UUID, ends: Mapping[int, int]) -> list[dict[str, Any]]:
    """The versions of returns to work that the fact made."""
    rows = await connection.fetch(_RETURNS, fact["payer"], fact["member"], name)
    return [
        {
            "episode_id": str(row["episode_id"]),
            "version": row["version"],
            "status": row["status"],
            "returned_on": row["returned_on"].isoformat() if row["returned_on"] else None,
            "position": position(row, "from_offset"),
        }
        for row in rows
        if row["from_offset"] < ends.get(row["partition"], NO_END)
    ]


async def _releases(connection: Any, fact: Any, ends: Mapping[int, int]) -> list[dict[str, Any]]:
    """Releases to the plan of the fact's member whose cut has the fact: each shows all its periods again."""
    if not fact["member"] or not fact["plan"]:
        return []
    at = fact["partition"]
    rows = await connection.fetch(_RELEASES, fact["payer"], fact["plan"], at, fact["log_offset"], ends[at])
    return [dict(row) | {"window_on": row["window_on"].isoformat()} for row in rows]


async def _settlements(
    connection: Any, fact: Any, versions: Sequence[Any], spends: Sequence[Any], ends: Mapping[int, int]
) -> list[dict[str, Any]]:
    """Answers to settlement requests that counted an episode as the fact had left it or moved it."""
    if not fact["member"]:
        return []
    touched = {row["episode_id"] for row in (*versions, *spends)}
    rows = await connection.fetch(
        "SELECT DISTINCT practice, performance_period FROM episode WHERE payer = $1 AND member = $2"
        " AND episode_id = ANY($3::uuid[])",
        fact["payer"],
        fact["member"],
        list(touched),
    )
    practices, periods = [row[0] for row in rows], [row[1] for row in rows]
    found = await connection.fetch(
        _SETTLEMENTS, fact["payer"], practices, periods, fact["partition"], fact["log_offset"], ends[fact["partition"]]
    )
    return [dict(row) for row in found]


def _tree(payment: Mapping[str, Any], paid: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A payment, and what later took it back or stands in its place, each with its own cause."""
    name = payment["payment_id"]
    return {
        "payment_id": name,
        "kind": payment["kind"],
        "period": payment["period"],
        "amount_cents": payment["amount_cents"],
        "cause": payment["cause"],
        "position": payment["position"],
        "then": [_tree(one, paid) for one in paid if name in (one["reverses"], one["supersedes"])],
    }

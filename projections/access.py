"""Who read what of which person: the access log, from what the operations topic says."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import UUID

READ, ENDPOINT = "carepact.PersonalDataRead.v1", "carepact.EndpointChanged.v1"
EVERY_PAYER = "-"

_READS = """
    SELECT event_id::text, payer, plan, by, known_at, log_offset,
           coalesce(data->>'what', 'endpoint-' || (data->>'change')) AS what,
           coalesce(data->>'subject', '-') AS subject,
           coalesce(data->>'purpose', 'deliveries to the endpoint ' || (data->>'endpoint_id')) AS purpose
      FROM operation
"""


async def reads(
    database: Any, payer: str | None = None, plan: str | None = None, after: UUID | None = None, most: int | None = None
) -> AsyncIterator[dict[str, Any]]:
    """Every read of personal data and every change of an endpoint, to which it is sent, oldest first.

    Of a payer's, those that were of all payers too.
    """
    async with database.transaction(readonly=True):
        async for row in database.cursor(
            f"""
            {_READS}
             WHERE type = ANY($1) AND ($2::text IS NULL OR payer = $2 OR payer = $3) AND ($4::text IS NULL OR plan = $4)
               AND ($5::uuid IS NULL OR log_offset > (SELECT log_offset FROM operation WHERE event_id = $5))
             ORDER BY log_offset LIMIT $6
            """,  # noqa: S608 - our own columns
            [READ, ENDPOINT], payer, EVERY_PAYER, plan, after, most,
        ):  # fmt: skip
            yield _as_document(row)


async def reads_of(database: Any, payer: str, subjects: Sequence[str]) -> list[dict[str, Any]]:
    """The reads of these subjects (tokens, ids of rejects), and those of many members that may have shown them."""
    rows = await database.fetch(
        f"{_READS} WHERE type = ANY($1) AND payer = ANY($2::text[]) "
        "AND coalesce(data->>'subject', '-') = ANY($3::text[]) "
        "ORDER BY log_offset",
        [READ, ENDPOINT], [payer, EVERY_PAYER], [*subjects, "-"],
    )  # fmt: skip
    return [_as_document(row) for row in rows]


async def erasures_of(database: Any, payer: str, token: str) -> list[dict[str, Any]]:
    """What was decided on erasing a person."""
    rows = await database.fetch(
        """
        SELECT type, by, data, known_at FROM operation
         WHERE payer = $1 AND type LIKE 'carepact.SubjectErasure%' AND data->>'subject' = $2 ORDER BY log_offset
        """,
        payer, token,
    )  # fmt: skip
    kinds = {"Requested": "requested", "Refused": "refused", "Done": "done"}
    return [
        {
            "decision": kinds[row["type"].split(".")[1].removeprefix("SubjectErasure")],
            "by": row["by"],
            "at": _instant(row["known_at"]),
        }
        for row in rows
    ]


async def disclosed(database: Any, payer: str, tokens: Sequence[str]) -> list[dict[str, Any]]:
    """What was emitted about a person, to whom, and between which moments of knowledge."""
    rows = await database.fetch(
        """
        SELECT practice, count(*) AS events, sum(amount_cents)::bigint AS cents, min(known_at) AS first_at,
               max(known_at) AS last_at
          FROM payment p JOIN fact f USING (payer, partition, log_offset)
         WHERE p.payer = $1 AND p.member = ANY($2::text[]) GROUP BY GROUPING SETS ((practice), ())
         ORDER BY practice NULLS FIRST
        """,
        payer, list(tokens),
    )  # fmt: skip
    versions = await database.fetchrow(
        "SELECT count(*) AS events, min(known_at) AS first_at, max(known_at) AS last_at FROM episode"
        " WHERE payer = $1 AND member = ANY($2::text[])",
        payer, list(tokens),
    )  # fmt: skip
    told = {"to": f"payer {payer}", "what": "versions of episodes, under the token", "events": versions["events"]}
    paid = [
        {
            "to": f"payer {payer}" if row["practice"] is None else f"practice {row['practice']}",
            "what": "payments, under the token",
            "events": row["events"],
            "amount_cents": row["cents"],
            "first_at": _instant(row["first_at"]),
            "last_at": _instant(row["last_at"]),
        }
        for row in rows
        if row["events"] and row["practice"] != ""
    ]
    between = {name: _instant(versions[name]) for name in ("first_at", "last_at") if versions["events"]}
    return [*paid, told | {"amount_cents": None} | between] if versions["events"] else paid


async def member_of(database: Any, named: str) -> str | None:
    """Whose a payment, an episode or a fact of an id is; None of what is nobody's, or is not there."""
    member: str | None = await database.fetchval(
        """
        SELECT member FROM payment WHERE payment_id = $1 UNION ALL
        SELECT member FROM episode WHERE episode_id = $1 UNION ALL
        SELECT member FROM fact WHERE event_id = $1 LIMIT 1
        """,
        UUID(named),
    )
    return member or None


async def derived(database: Any, payer: str, tokens: Sequence[str]) -> dict[str, int]:
    """How much was computed from a person's facts and stands under the token."""
    row = await database.fetchrow(
        """
        SELECT (SELECT count(DISTINCT episode_id) FROM episode
                 WHERE payer = $1 AND member = ANY($2::text[])) AS episodes,
               (SELECT count(*) FROM payment WHERE payer = $1 AND member = ANY($2::text[])) AS payments,
               (SELECT coalesce(sum(amount_cents), 0)::bigint FROM payment
                 WHERE payer = $1 AND member = ANY($2::text[])) AS paid_cents,
               (SELECT count(*) FROM state_part WHERE payer = $1 AND member = ANY($2::text[])) AS state_parts
        """,
        payer, list(tokens),
    )  # fmt: skip
    return dict(row)


def _as_document(row: Any) -> dict[str, Any]:
    return {
        "at": _instant(row["known_at"]),
        "by": row["by"],
        "what": row["what"],
        "subject": row["subject"],
        "purpose": row["purpose"],
        "payer": row["payer"],
        "plan": row["plan"],
        "event_id": row["event_id"],
        "offset": row["log_offset"],
    }


def _instant(at: Any) -> str:
    return str(at.isoformat().replace("+00:00", "Z"))

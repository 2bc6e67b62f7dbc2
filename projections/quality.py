"""What a payer's files were like in a month, beside the month before."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

_COUNTED = ("facts", "late", "asked", "missing", "rejects", "codes", "unknown")
_SUMMED = ("paid_cents", "untranslated")
_ROWS = ("read", "accepted", "duplicate", "rejected")


async def quality(database: Any, payer: str, plan: str | None, month: str | None) -> dict[str, Any] | None:
    """The card of a month (`YYYY-MM`, UTC, by when runs ended), or of the last that has a run; None where none has.

    Only runs that went to their end count. A share is of rows read; completeness is of fields that could be there.
    """
    if month is None:
        last = await database.fetchval(
            "SELECT max(finished_at) FROM file_run WHERE payer = $1 AND ($2::text IS NULL OR plan = $2) AND complete",
            payer,
            plan,
        )
        if last is None:
            return None
        month = f"{last.astimezone(UTC):%Y-%m}"
    first = datetime.strptime(f"{month}-01", "%Y-%m-%d").replace(tzinfo=UTC)
    months = _month_after(first, -1), first, _month_after(first, 1)
    rows = await database.fetch(
        """
        SELECT finished_at, rows_read, rows_accepted, rows_duplicate, rows_rejected, quality
          FROM file_run
         WHERE payer = $1 AND ($2::text IS NULL OR plan = $2) AND complete AND finished_at >= $3 AND finished_at < $4
        """,
        payer,
        plan,
        months[0],
        months[2],
    )
    now = _card(row for row in rows if row["finished_at"] >= first)
    before = _card(row for row in rows if row["finished_at"] < first)
    return {
        "payer": payer,
        "plan": plan or "",
        "month": month,
        **now,
        "before": before if before["runs"] else None,
        "rows_to_before": _ratio(now["read"], before["read"]),
        "paid_to_before": _ratio(now["paid_cents"], before["paid_cents"]),
    }


def _card(rows: Iterable[Any]) -> dict[str, Any]:
    counts: dict[str, Counter[str]] = {name: Counter() for name in _COUNTED}
    sums: Counter[str] = Counter({"runs": 0} | dict.fromkeys((*_ROWS, *_SUMMED), 0))
    for row in rows:
        sums["runs"] += 1
        for name in _ROWS:
            sums[name] += row[f"rows_{name}"]
        told = json.loads(row["quality"]) if row["quality"] else {}
        for name in _SUMMED:
            sums[name] += told.get(name, 0)
        for name in _COUNTED:
            counts[name].update(told.get(name, {}))
    asked, missing = counts.pop("asked"), counts.pop("missing")
    codes, unknown = counts["codes"], counts["unknown"]
    return {
        **sums,
        "duplicate_share": _ratio(sums["duplicate"], sums["read"]),
        "rejected_share": _ratio(sums["rejected"], sums["read"]),
        "completeness": {name: _ratio(count - missing[name], count) for name, count in sorted(asked.items())},
        "unknown_share": {name: _ratio(unknown[name], count) for name, count in sorted(codes.items())},
        **{name: dict(sorted(counted.items())) for name, counted in counts.items()},
    }


def _ratio(part: int, whole: int) -> str | None:
    """With four decimals, as text; None where there is nothing to compare with."""
    return f"{part / whole:.4f}" if whole else None


def _month_after(day: datetime, months: int) -> datetime:
    number = day.year * 12 + day.month - 1 + months
    return day.replace(year=number // 12, month=number % 12 + 1)

"""What `contract try` takes to give a member's payment again: read from nothing but what the payment says of itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from contracts.employer_settlement import CLAUSES
from contracts.roster import PLAN_SHEETS

EMPLOYERS = {kind: clause for clause, kind in CLAUSES.items()}
STARTS = re.compile(r"therapy on (\d{4}-\d{2}-\d{2}) \(")
DAYS = re.compile(r"(\d+) days <= ")
WEEKS = re.compile(r"([\d.]+) weeks: ")


def tried(event: Mapping[str, Any]) -> dict[str, Any] | None:
    """Contract, clause and givens of a determination (the data of its event); None of what no clause gives again.

    A month of 2025-02 for a full dual: `meos` with its episode's first day, one month, `dual_eligible`.
    """
    contract, day = event["contract"], event["effective_on"]
    if event["reverses"]:
        return None
    match event["kind"]:
        case "MEOS":
            clause, given = "meos", _month(event)
        case "CARE_FEE":
            clause, given = "care-fee", {"from_on": day, "through_on": day}
        case "RTW_BONUS":
            clause, given = "tier-bonus", _bonus(event)
        case _:
            return None
    return {"contract": _sheet(contract, event["plan"]), "clause": clause, "given": given}


def tried_settled(payment: Mapping[str, Any], statement: Mapping[str, Any]) -> dict[str, Any] | None:
    """The same of a settlement's, out of its statement: what a pool earns or owes is the clause's, a part its share."""
    kind, plan, operands, clause = payment["kind"], payment["plan"], None, "reconciliation"
    if (group := statement.get("group")) is not None and kind in ("PBP", "PBR", "SHARED_SAVINGS", "SHARED_LOSS"):
        operands = group["operands"]
        clause = "reconciliation" if kind in ("PBP", "PBR") else "shared-savings"
    for one in statement.get("clauses", ()):
        if one["kind"] == kind:
            operands, clause = one["operands"], EMPLOYERS[kind]
    if operands is None:
        return None
    return {"contract": _sheet(payment["contract"], plan), "clause": clause, "given": operands}


def _sheet(contract: str, plan: str) -> str:
    return f"{contract}/{plan}" if f"{contract}/{plan}" in PLAN_SHEETS else contract


def _month(event: Mapping[str, Any]) -> dict[str, Any]:
    (started_on,) = (found[1] for fact in event["facts"] if (found := STARTS.match(fact["says"])))
    given: dict[str, Any] = {"initiated_on": started_on, "months": 1}
    if event["contract"] != "ocm":
        given["dual_eligible"] = any(line["clause"] == "MEOS.dual" for line in event["lines"])
    return given


def _bonus(event: Mapping[str, Any]) -> dict[str, Any]:
    """The absence began so many days before the return that earned it."""
    words = event["lines"][0]["arithmetic"]
    days, weeks = DAYS.search(words), WEEKS.search(words)
    assert days is not None and weeks is not None
    earned_on = date.fromisoformat(event["effective_on"])
    partial = words.startswith("partial return")
    return {
        "absence_on": (earned_on - timedelta(days=int(days[1]))).isoformat(),
        "returned_on": None if partial else event["effective_on"],
        "partial_on": event["effective_on"] if partial else None,
        "benchmark_weeks": "1" if partial else weeks[1],
    }

"""What `contract try` takes to give a payment again: read from nothing but what the payment and its statement say.

Every kind of payment has a clause, and a payment that takes another back has one too. `gives` names the key of the
result that holds the payment's cents, `sign` is -1 where the clause counts what the practice gives back as positive.
Warnings of a recoupment (`MEOS_AT_RISK`) move no money and have none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from contracts import bcbs_sc, employers, eom, ocm
from contracts.employer_settlement import CORRIDOR, REFUND, RELEASE, SAVINGS
from contracts.reversals import LABEL
from contracts.roster import PLAN_SHEETS
from contracts.settlement_payments import RECOUPMENT
from contracts.units import dollars
from contracts.work import BONUS

MEOS, CARE_FEE, PBP, PBR, SHARED_SAVINGS, SHARED_LOSS = (
    "MEOS", "CARE_FEE", "PBP", "PBR", "SHARED_SAVINGS", "SHARED_LOSS",
)  # fmt: skip
_MEDICARE = {MEOS: "meos", PBP: "reconciliation", PBR: "reconciliation", RECOUPMENT: "meos-recoupment"}
CLAUSE_OF: dict[str, dict[str, str]] = {
    eom.CONTRACT: _MEDICARE,
    ocm.CONTRACT: _MEDICARE,
    bcbs_sc.CONTRACT: {CARE_FEE: "care-fee", SHARED_SAVINGS: "shared-savings", SHARED_LOSS: "shared-savings"},
    employers.CONTRACT: {
        CARE_FEE: "care-fee", BONUS: "tier-bonus", RELEASE: "withhold", SAVINGS: "shared-savings",
        REFUND: "outcomes-guarantee", CORRIDOR: "risk-corridor",
    },
}  # fmt: skip
"""By contract, the clause that gives each kind of payment."""

REVERSAL, POOL_SHARE = "reversal", "pool-share"
STARTS = re.compile(r"therapy on (\d{4}-\d{2}-\d{2}) \(")
DAYS = re.compile(r"(\d+) days <= ")
WEEKS = re.compile(r"([\d.]+) weeks: ")

Tried = dict[str, Any]


def tried(event: Mapping[str, Any]) -> Tried | None:
    """Contract, clause and givens of a member's determination (the data of its event); None of a warning.

    A month of 2025-02 for a full dual: `meos` with its episode's first day, one month, `dual_eligible`.
    """
    kind, day = event["kind"], event["effective_on"]
    if kind not in CLAUSE_OF[event["contract"]]:
        return None
    if event["reverses"]:
        return reversal(event)
    match kind:
        case "MEOS":
            given = _month(event)
        case "CARE_FEE":
            given = {"from_on": day, "through_on": day}
        case _:
            given = _bonus(event)
    return _tried(event, CLAUSE_OF[event["contract"]][kind], given)


def reversal(event: Mapping[str, Any]) -> Tried:
    """Of a payment that takes another back: what it takes back, line by line."""
    components = [
        [line["clause"], line["label"].removeprefix(LABEL), f"{dollars(-line['amount_cents']):.2f}"]
        for line in event["lines"]
    ]
    return _tried(event, REVERSAL, {"payment_id": event["reverses"], "components": components})


def tried_settled(payment: Mapping[str, Any], statement: Mapping[str, Any]) -> Tried | None:
    """Of a settlement's determination, out of its statement.

    A pool's result is divided: `pool-share` gives the practice's part, and `of` is what gives the pool's result.
    """
    kind = payment["kind"]
    clause = CLAUSE_OF[payment["contract"]].get(kind)
    if clause is None:
        return None
    if kind == RECOUPMENT:
        reasons = statement["meos"]["recouped"].items()
        months = [[why, one["months"], f"{dollars(one['cents']):.2f}"] for why, one in reasons]
        return _tried(payment, clause, {"period_on": statement["initiated_from"], "months": months})
    if (group := statement.get("group")) is not None and group["operands"] is not None:
        found = _tried(payment, clause, group["operands"])
        found |= {"gives": "pbr_cents" if kind == PBR else "pbp_cents" if kind == PBP else "amount_cents"}
        found |= {"sign": -1} if kind == PBR else {}
        return found if group["parts"] is None else _part(payment, statement, found)
    for one in statement.get("clauses", ()):
        if one["kind"] == kind:
            return _tried(payment, clause, one["operands"]) | ({"sign": -1} if kind == REFUND else {})
    return None


def _part(payment: Mapping[str, Any], statement: Mapping[str, Any], whole: Tried) -> Tried:
    group = statement["group"]
    amount = f"{dollars(group['pbp_cents'] - group['pbr_cents']):.2f}"
    given = {"period_on": statement["initiated_from"], "amount": amount, **group["parts"]}
    return _tried(payment, POOL_SHARE, given) | {"of": whole}


def _tried(payment: Mapping[str, Any], clause: str, given: Mapping[str, Any]) -> Tried:
    contract, plan = payment["contract"], payment["plan"]
    sheet = f"{contract}/{plan}" if f"{contract}/{plan}" in PLAN_SHEETS else contract
    return {"contract": sheet, "clause": clause, "given": dict(given), "gives": "amount_cents", "sign": 1}


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

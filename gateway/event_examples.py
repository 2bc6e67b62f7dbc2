"""One example of each event that subscribers get, as it comes; tests hold them to their models."""

from __future__ import annotations

from typing import Any

TYPES: dict[str, tuple[str, ...]] = {
    "payer": ("PaymentDetermined", "RecoupmentRiskChanged", "EpisodeChanged", "SettlementAnswered"),
    "practice": ("PaymentDetermined", "RecoupmentRiskChanged", "SettlementAnswered"),
    "employer": ("EmployerOutcomeReported", "ReturnToWorkTold"),
}
"""By role, the events of its feeds."""

_ID, _CAUSE = "8f14e45f-ceea-567e-8a36-dcf4b0c1a6d2", "0b1e0a5c-90a6-5b51-9a55-1f3d3d7c5a11"
_EPISODE = "c4ca4238-a0b9-5382-8dcc-509a6f75849b"
_TOKEN = "mfrggzdfmztwq2lknnwg23tpob"  # noqa: S105 - made up


def _event(name: str, subject: str, payer: str, data: dict[str, Any], **more: Any) -> dict[str, Any]:
    envelope = {
        "specversion": "1.0",
        "id": _ID,
        "source": f"/carepact/{payer}",
        "type": f"carepact.{name}.v1",
        "subject": subject,
        "time": "2026-01-31T06:00:00.000Z",
        "datacontenttype": "application/json",
        "dataschema": f"urn:carepact:event:{name}:1",
        "payer": payer,
        "plan": "",
        "sequence": "000000004",
    }
    return envelope | more | {"data": data}


_PAYMENT: dict[str, Any] = {
    "payment_id": _ID,
    "payer": "medicare",
    "contract": "medicare-eom",
    "contract_version": "2026.1",
    "contract_digest": "0" * 64,
    "kind": "MEOS",
    "amount_cents": 11000,
    "member": _TOKEN,
    "episode_id": _EPISODE,
    "practice": "P1",
    "period": "2026-01",
    "effective_on": "2026-01-12",
    "plan": "",
    "reverses": None,
    "supersedes": None,
    "cause": _CAUSE,
    "cause_kind": "claim",
    "lines": [],
    "facts": [],
    "position": {"topic": "carepact.medicare.events.v1", "partition": 2, "offset": 4711},
}
EXAMPLES: dict[str, dict[str, Any]] = {
    "PaymentDetermined": _event("PaymentDetermined", _TOKEN, "medicare", _PAYMENT),
    "RecoupmentRiskChanged": _event(
        "RecoupmentRiskChanged",
        _TOKEN,
        "medicare",
        _PAYMENT | {"kind": "MEOS_AT_RISK", "amount_cents": 0, "at_risk_cents": 11000, "reason": "no_episode"},
    ),
    "EpisodeChanged": _event(
        "EpisodeChanged",
        _EPISODE,
        "medicare",
        {
            "episode_id": _EPISODE,
            "version": 2,
            "payer": "medicare",
            "plan": "",
            "contract": "medicare-eom",
            "member": _TOKEN,
            "started_on": "2025-09-04",
            "ends_on": "2026-03-03",
            "performance_period": 5,
            "cancer_type": "breast",
            "status": "valid",
            "void_reason": "",
            "included": True,
            "exclusion": "",
            "practice": "P1",
            "opened_by": _CAUSE,
            "closed": False,
            "cause": _CAUSE,
            "position": {"topic": "carepact.medicare.events.v1", "partition": 2, "offset": 4711},
        },
        sequence="000000002",
    ),
    "SettlementAnswered": _event(
        "SettlementAnswered",
        "P1",
        "medicare",
        {
            "request_id": "2026-02-01-pp5-initial",
            "payer": "medicare",
            "contract": "medicare-eom",
            "practice": "P1",
            "period": 5,
            "run": "initial",
            "episodes": 40,
            "included": 38,
            "expenditure_cents": 310000000,
            "payments_cents": 2508000,
            "pending": [],
        },
    ),
    "EmployerOutcomeReported": _event(
        "EmployerOutcomeReported",
        "palmetto-manufacturing",
        "employers",
        {
            "contract_id": "employer",
            "contract_version": "2026.1",
            "employer_id": "palmetto-manufacturing",
            "metric_id": "M12-offered",
            "metric_version": "1",
            "measurement_period": {"from_on": "2025-01-01", "through_on": "2025-06-30"},
            "as_of": "2025-12-31",
            "stratum": "",
            "unit": "people",
            "numerator": None,
            "denominator": 300,
            "suppression": {"code": "withheld", "numerator": [0, 300]},
            "run_id": "0" * 32,
            "inputs_digest": "0" * 64,
        },
        plan="palmetto-manufacturing",
    ),
    "ReturnToWorkTold": _event(
        "ReturnToWorkTold", "authorization-17", "employers", {"status": "confirmed", "on": "2026-01-12"},
        plan="palmetto-manufacturing",
    ),
}  # fmt: skip
for _unsaid in ("time", "sequence"):
    del EXAMPLES["ReturnToWorkTold"][_unsaid]

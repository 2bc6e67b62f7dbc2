"""The Tuva claims input layer as `formats.tuva` reads it: eligibility, medical_claim and pharmacy_claim."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any

from carepact.generate.told import Told

_CODES = [f"diagnosis_code_{i}" for i in range(1, 26)]
_ELIGIBILITY = [
    "patient_id", "member_id", "gender", "birth_date", "death_date", "enrollment_start_date", "enrollment_end_date",
    "payer", "payer_type", "dual_status_code", "medicare_status_code", "first_name", "last_name", "address", "city",
    "state", "zip_code", "phone",
]  # fmt: skip
_MEDICAL = [
    "claim_id", "claim_line_number", "claim_type", "patient_id", "payer", "claim_start_date", "claim_end_date",
    "claim_line_start_date", "claim_line_end_date", "admission_date", "discharge_date", "bill_type_code",
    "ms_drg_code", "place_of_service_code", "revenue_center_code", "service_unit_quantity", "hcpcs_code",
    *(f"hcpcs_modifier_{i}" for i in range(1, 6)), "rendering_npi", "rendering_tin", "billing_npi", "billing_tin",
    "facility_npi", "paid_date", "paid_amount", "allowed_amount", "charge_amount", "diagnosis_code_type", *_CODES,
    *(f"procedure_code_{i}" for i in range(1, 26)),
]  # fmt: skip
_PHARMACY = [
    "claim_id", "claim_line_number", "patient_id", "payer", "prescribing_provider_npi", "dispensing_provider_npi",
    "dispensing_date", "ndc_code", "quantity", "days_supply", "paid_date", "paid_amount", "allowed_amount",
]  # fmt: skip


def files(told: list[Told], payer: str) -> Iterator[tuple[str, bytes]]:
    """(name, content) of each file; `told` are facts that the layer carries."""
    yield "eligibility.csv", _table(_ELIGIBILITY, _spans(told, payer))
    yield "medical_claim.csv", _table(_MEDICAL, (row for each in told for row in _lines(each, payer)))
    yield "pharmacy_claim.csv", _table(_PHARMACY, (row for each in told for row in _fills(each, payer)))


def _table(columns: list[str], rows: Iterable[dict[str, Any]]) -> bytes:
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def _dollars(cents: int | None) -> str:
    return "" if cents is None else f"{Decimal(cents).scaleb(-2):.2f}"


def _spans(told: list[Told], payer: str) -> Iterator[dict[str, Any]]:
    """A row for each span, with whatever else is said of the same days."""
    described = {each.member: each.data for each in told if each.type == "MemberDescribed"}
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for each in told:
        if each.type != "EnrollmentChanged":
            continue
        data, person, says = each.data, each.person, described.get(each.member, {})
        row = rows.setdefault(
            (each.member, data["from_on"]),
            {
                "patient_id": each.member,
                "gender": says.get("sex", ""),
                "birth_date": person["birth_date"],
                "death_date": says.get("died_on", ""),
                "enrollment_start_date": data["from_on"],
                "enrollment_end_date": data.get("through_on", ""),
                "payer": payer,
                "payer_type": "commercial" if data["coverage"] == "plan" else "medicare",
                "first_name": person["given_name"],
                "last_name": person["family_name"],
                "address": person["address"],
                "state": says.get("state", ""),
                "zip_code": person["postal_code"],
            },
        )
        if data["coverage"] == "dual":
            row["dual_status_code"] = data["code"]
        elif data["coverage"] == "esrd":
            row["medicare_status_code"] = "11"
    yield from rows.values()


def _lines(each: Told, payer: str) -> Iterator[dict[str, Any]]:
    data = each.data
    institutional = each.type == "InstitutionalClaimReceived"
    if not institutional and each.type != "ProfessionalClaimReceived":
        return
    claim = {
        "claim_id": data["claim_id"],
        "claim_type": "institutional" if institutional else "professional",
        "patient_id": each.member,
        "payer": payer,
        "claim_start_date": data["from_on"],
        "claim_end_date": data["through_on"],
        "billing_tin": data["billing_tin"],
        "paid_date": data["effective_on"],
        "diagnosis_code_type": "icd-10-cm",
    }
    if institutional:
        claim |= {
            "admission_date": data.get("admitted_on", ""),
            "discharge_date": data.get("discharged_on", ""),
            "bill_type_code": data["type_of_bill"],
            "paid_amount": _dollars(data["paid_cents"]),
        }
        claim |= {f"procedure_code_{i}": code for i, code in enumerate(data.get("procedures", ()), 1)}
    for line in data["lines"]:
        row = claim | {
            "claim_line_number": line["line"],
            "claim_line_start_date": line["service_on"],
            "place_of_service_code": line.get("place_of_service", ""),
            "revenue_center_code": line.get("revenue_center", ""),
            "service_unit_quantity": line.get("units", ""),
            "hcpcs_code": line.get("code", ""),
            "rendering_tin": line.get("rendering_tin", ""),
            "allowed_amount": _dollars(line.get("allowed_cents")),
            "charge_amount": _dollars(line.get("charge_cents")),
        }
        if not institutional:
            row["paid_amount"] = _dollars(line["paid_cents"])
        yield row | {f"diagnosis_code_{i}": code for i, code in enumerate(line["diagnoses"], 1)}


def _fills(each: Told, payer: str) -> Iterator[dict[str, Any]]:
    data = each.data
    if each.type == "PharmacyClaimReceived":
        yield {
            "claim_id": data["claim_id"],
            "claim_line_number": 1,
            "patient_id": each.member,
            "payer": payer,
            "dispensing_date": data["filled_on"],
            "ndc_code": data["ndc"],
            "quantity": data["quantity"],
            "days_supply": data["days_supply"],
            "paid_date": data["effective_on"],
            "paid_amount": _dollars(data["paid_cents"]),
            "allowed_amount": _dollars(data["total_cost_cents"]),
        }

"""FHIR R4 in bulk: Patient, Coverage, ExplanationOfBenefit, a resource a line, in CMS's shapes where it has them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from carepact.generate.told import Told

Json = dict[str, Any]

_VARIABLE = "https://bluebutton.cms.gov/resources/variables"
_TYPES = {
    "outpatient": "40", "inpatient": "60", "skilled_nursing": "20", "home_health": "10", "hospice": "50",
    "physician": "71", "dmepos": "82",
}  # fmt: skip
_KINDS = {"part_a": "Part A", "part_b": "Part B", "part_d": "Part D", "medicare_advantage": "Part C", "plan": "plan"}
_ICD = "http://hl7.org/fhir/sid/icd-10-cm"


def files(told: list[Told], payer: str) -> Iterator[tuple[str, bytes]]:
    """(name, content) of each file; `told` are facts that FHIR carries."""
    made: dict[str, list[bytes]] = {"Patient": [], "Coverage": [], "ExplanationOfBenefit": []}
    for number, each in enumerate(told, 1):
        if each.type == "MemberDescribed":
            resource = _patient(each)
        elif each.type == "EnrollmentChanged":
            resource = _coverage(each, number, payer)
        else:
            resource = _explanation(each, payer)
        made[resource["resourceType"]].append(orjson.dumps(resource) + b"\n")
    for name, lines in made.items():
        yield f"{name}.ndjson", b"".join(lines)


def _concept(system: str, code: str) -> Json:
    return {"coding": [{"system": system, "code": code}]}


def _who(each: Told) -> Json:
    identifier = each.person["identifier"]
    if identifier["kind"] == "mbi":
        return {"identifier": {"system": "http://hl7.org/fhir/sid/us-mbi", "value": identifier["value"]}}
    return {"reference": f"Patient/{identifier['value']}"}


def _patient(each: Told) -> Json:
    person, data, who = each.person, each.data, _who(each)
    resource: Json = {"resourceType": "Patient"}
    if "identifier" in who:
        resource["identifier"] = [who["identifier"]]
    else:
        resource["id"] = each.member
    resource |= {
        "name": [{"family": person["family_name"], "given": [person["given_name"]]}],
        "gender": data["sex"],
        "birthDate": person["birth_date"],
        "address": [{"line": [person["address"]], "state": data["state"], "postalCode": person["postal_code"]}],
    }
    if "died_on" in data:
        resource["deceasedDateTime"] = data["died_on"]
    return resource


def _coverage(each: Told, number: int, payer: str) -> Json:
    data = each.data
    period = {"start": data["from_on"]} | ({"end": data["through_on"]} if "through_on" in data else {})
    resource: Json = {
        "resourceType": "Coverage",
        "id": f"coverage-{number}",
        "status": "active" if data["covered"] else "cancelled",
        "beneficiary": _who(each),
        "payor": [{"display": payer}],
        "period": period,
        "class": [
            {
                "type": _concept("http://terminology.hl7.org/CodeSystem/coverage-class", "plan"),
                "value": _KINDS[data["coverage"]],
            }
        ],
    }
    if "code" in data:
        resource["relationship"] = {"coding": [{"code": data["code"]}]}
    return resource


def _money(cents: int) -> Json:
    return {"value": cents / 100, "currency": "USD"}


def _explanation(each: Told, payer: str) -> Json:
    data = each.data
    match each.type:
        case "ProfessionalClaimReceived":
            kind, own, variables = (
                "professional",
                ("nch_clm_type_cd", _TYPES[data.get("supplier", "physician")]),
                {"carr_clm_pmt_dnl_cd": "0" if data.get("denied") else "1"},
            )
        case "InstitutionalClaimReceived":
            kind, own, variables = "institutional", ("nch_clm_type_cd", _TYPES[data["setting"]]), {}
            if data.get("denied"):
                variables["clm_mdcr_non_pmt_rsn_cd"] = "N"
            if bill := data.get("type_of_bill"):
                variables |= {"clm_fac_type_cd": bill[0], "clm_srvc_clsfctn_type_cd": bill[1], "clm_freq_cd": bill[2]}
        case _:
            kind, own, variables = "pharmacy", ("eob-type", "PDE"), {}
    if payer_first := data.get("primary_payer"):
        variables["nch_prmry_pyr_cd"] = payer_first
    start = data.get("from_on") or data["filled_on"]
    claim_type = {
        "coding": [
            {"system": "http://terminology.hl7.org/CodeSystem/claim-type", "code": kind},
            {"system": f"{_VARIABLE}/{own[0]}", "code": own[1]},
        ]
    }
    resource: Json = {
        "resourceType": "ExplanationOfBenefit",
        "id": data["claim_id"],
        "meta": {
            "tag": [{"system": "https://bluebutton.cms.gov/resources/codesystem/final-action", "code": "FinalAction"}]
        },
        "identifier": [{"system": f"{_VARIABLE}/clm_id", "value": data["claim_id"]}],
        "status": "active",
        "type": claim_type,
        "use": "claim",
        "patient": _who(each),
        "billablePeriod": {"start": start, "end": data.get("through_on", start)},
        "created": data["effective_on"],
        "insurer": {"display": payer},
        "provider": {"display": "unnamed"},
        "outcome": "complete",
        "insurance": [{"focal": True, "coverage": {"display": payer}}],
        "supportingInfo": _information(data, variables),
    }
    if tin := data.get("billing_tin"):
        number = {"type": _concept("http://terminology.hl7.org/CodeSystem/v2-0203", "TAX"), "value": tin}
        resource["careTeam"] = [{"sequence": 1, "provider": {"identifier": number}}]
    if codes := list(dict.fromkeys([*data.get("diagnoses", ()), *_of_lines(data)])):
        resource["diagnosis"] = [
            {"sequence": i, "diagnosisCodeableConcept": _concept(_ICD, code)} for i, code in enumerate(codes, 1)
        ]
    if procedures := data.get("procedures"):
        resource["procedure"] = [
            {"sequence": i, "procedureCodeableConcept": _concept("http://www.cms.gov/Medicare/Coding/ICD10", code)}
            for i, code in enumerate(procedures, 1)
        ]
    if kind == "pharmacy":
        resource["item"] = [_fill(data)]
    else:
        resource["item"] = [_item(line, codes, professional=kind == "professional") for line in data.get("lines", ())]
    if kind == "institutional":
        resource["payment"] = {"amount": _money(data["paid_cents"])}
    return resource


def _of_lines(data: Json) -> Iterator[str]:
    for line in data.get("lines", ()):
        yield from line.get("diagnoses", ())


def _information(data: Json, variables: dict[str, str]) -> list[Json]:
    found: list[Json] = [
        {"category": _concept(_VARIABLE, "nch_wkly_proc_dt"), "timingDate": data["effective_on"]},
        *(
            {"category": _concept(_VARIABLE, "info"), "code": _concept(f"{_VARIABLE}/{name}", code)}
            for name, code in variables.items()
        ),
    ]
    if admitted := data.get("admitted_on"):
        stay = {"start": admitted} | ({"end": data["discharged_on"]} if "discharged_on" in data else {})
        found.append({"category": _concept(_VARIABLE, "admissionperiod"), "timingPeriod": stay})
    if supply := data.get("days_supply"):
        found.append({"category": _concept(_VARIABLE, "days_suply_num"), "valueQuantity": {"value": supply}})
    return [{"sequence": i, **each} for i, each in enumerate(found, 1)]


def _amount(name: str, cents: int) -> Json:
    return {"category": _concept(_VARIABLE, name), "amount": _money(cents)}


def _item(line: Json, codes: list[str], *, professional: bool) -> Json:
    names = {
        "charge_cents": "line_sbmtd_chrg_amt" if professional else "rev_cntr_tot_chrg_amt",
        "noncovered_cents": "rev_cntr_ncvrd_chrg_amt",
        "allowed_cents": "line_alowd_chrg_amt",
    }
    if professional:
        names["paid_cents"] = "line_nch_pmt_amt"
    adjudication = [_amount(variable, line[name]) for name, variable in names.items() if name in line]
    if line.get("denied"):
        reason = _concept(f"{_VARIABLE}/line_prcsg_ind_cd", "D")
        adjudication.append({"category": _concept(_VARIABLE, "denialreason"), "reason": reason})
    item: Json = {
        "sequence": line["line"],
        "productOrService": _concept("https://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets", line["code"]),
        "servicedDate": line["service_on"],
        "quantity": {"value": float(line["units"])},
        "adjudication": adjudication,
    }
    if pointed := line.get("diagnoses"):
        item["diagnosisSequence"] = [codes.index(code) + 1 for code in pointed]
    if place := line.get("place_of_service"):
        item["locationCodeableConcept"] = _concept(f"{_VARIABLE}/line_place_of_srvc_cd", place)
    if center := line.get("revenue_center"):
        item["revenue"] = _concept(f"{_VARIABLE}/rev_cntr", center)
    return item


def _fill(data: Json) -> Json:
    return {
        "sequence": 1,
        "productOrService": _concept("http://hl7.org/fhir/sid/ndc", data["ndc"]),
        "servicedDate": data["filled_on"],
        "quantity": {"value": float(data["quantity"])},
        "adjudication": [
            _amount("cvrd_d_plan_pd_amt", data["paid_cents"]),
            _amount("tot_rx_cst_amt", data["total_cost_cents"]),
            _amount("ptnt_pay_amt", data["member_paid_cents"]),
            _amount("gdc_abv_oopt_amt", data["above_threshold_cents"]),
        ],
    }

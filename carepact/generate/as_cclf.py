"""CCLF files 0 to 9 of one Medicare submission, in the layout that `formats.cclf_layout` reads.

A member in twenty has a former MBI, under which their earlier claims stand, and CCLF9 says so. There is nothing to say
in files A and B.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from carepact.generate.corrections import natural_key
from carepact.generate.membership import MONTH
from carepact.generate.people import mbi, seeded
from carepact.generate.told import Told
from formats.cclf_layout import COLUMNS, LENGTHS

_NAMES = {
    "1": "Part A Claims Header File", "2": "Part A Claims Revenue Center Detail File",
    "3": "Part A Procedure Code File", "4": "Part A Diagnosis Code File", "5": "Part B Physicians File",
    "6": "Part B DME File", "7": "Part D File", "8": "Beneficiary Demographics File", "9": "Beneficiary XREF File",
}  # fmt: skip
_KINDS = {"original": "0", "void": "1", "adjustment": "2"}
_SETTINGS = {"outpatient": "40", "inpatient": "60", "skilled_nursing": "20", "home_health": "10", "hospice": "50"}
_SEX = {"male": "1", "female": "2", "unknown": "0"}
_CHANGED_ON = "2024-07-01"
_FORMER_SHARE = 0.05
_RIGHT = ("_AMT", "_QTY", "_LINE_NUM")


def files(told: list[Told]) -> Iterator[tuple[str, bytes]]:
    """(name, content) of each file; `told` are facts that CCLF carries."""
    made: dict[str, list[bytes]] = {kind: [] for kind in _NAMES}
    former = {each.member: old for each in told if (old := _former(each.member))}
    for number, each in enumerate(told, 1):
        for kind, values in _records(number, each, former):
            made[kind].append(_record(kind, values))
    made["8"] = [_record("8", values) for values in _beneficiaries(told).values()]
    for new, old in sorted(former.items()):
        said = {"HICN_MBI_XREF_IND": "M", "CRNT_NUM": new, "PRVS_NUM": old, "PRVS_ID_EFCTV_DT": "2018-04-01"}
        made["9"].append(_record("9", said))
    receipt = [b"File Number  |File Description                              |Total Records Count |Record Length\n"]
    for kind, records in made.items():
        receipt.append(f"CCLF{kind}        |{_NAMES[kind]:<46}|{len(records):>20}|{LENGTHS[kind][0]:>14}\n".encode())
    for kind, content in (("0", receipt), *made.items()):
        yield f"P.A0001.ACO.ZC{kind}Y{MONTH:%y}.D{MONTH:%y%m%d}.T0102030", b"".join(content)


def _former(member: str) -> str:
    rng = seeded("former", member)
    return mbi(rng) if rng.random() < _FORMER_SHARE else ""


def _record(kind: str, values: dict[str, str]) -> bytes:
    line = [" "] * LENGTHS[kind][0]
    for name, value in values.items():
        first, last = COLUMNS[kind][name]
        width = last - first + 1
        assert len(value) <= width, f"CCLF{kind} {name} has {width} characters"
        line[first - 1 : last] = value.rjust(width) if name.endswith(_RIGHT) else value.ljust(width)
    return "".join(line).encode("latin-1") + b"\n"


def _dollars(cents: int | None) -> str:
    return "" if cents is None else f"{Decimal(cents).scaleb(-2):.2f}"


def _records(number: int, each: Told, former: dict[str, str]) -> Iterator[tuple[str, dict[str, str]]]:
    data = each.data
    if not each.is_claim:
        return
    earlier = data["effective_on"] < _CHANGED_ON
    common = {
        "CUR_CLM_UNIQ_ID": f"{number:013}",
        "BENE_MBI_ID": former.get(each.member, each.member) if earlier else each.member,
    }
    version = {"CLM_ADJSMT_TYPE_CD": _KINDS[data["action"]], "CLM_EFCTV_DT": data["effective_on"]}
    match each.type:
        case "ProfessionalClaimReceived":
            yield from _part_b(each, common | version)
        case "InstitutionalClaimReceived":
            yield from _part_a(each, common, version)
        case "PharmacyClaimReceived":
            yield "7", common | version | _fill(data)


def _fill(data: dict[str, Any]) -> dict[str, str]:
    return {
        "CLM_LINE_NDC_CD": data["ndc"],
        "CLM_LINE_FROM_DT": data["filled_on"],
        "CLM_LINE_SRVC_UNIT_QTY": f"{Decimal(data['quantity']):.4f}",
        "CLM_LINE_DAYS_SUPLY_QTY": str(data["days_supply"]),
        "CLM_LINE_BENE_PMT_AMT": _dollars(data["member_paid_cents"]),
        "CLM_LINE_RX_SRVC_RFRNC_NUM": data["family"][-12:],
        "CLM_LINE_RX_FILL_NUM": "0",
    }


def _part_b(each: Told, common: dict[str, str]) -> Iterator[tuple[str, dict[str, str]]]:
    data = each.data
    kind = "6" if data.get("supplier") == "dmepos" else "5"
    claim = common | {
        "CLM_TYPE_CD": "82" if kind == "6" else "71",
        "CLM_FROM_DT": data["from_on"],
        "CLM_THRU_DT": data["through_on"],
        "CLM_CNTL_NUM": data["family"],
        "CLM_CARR_PMT_DNL_CD": "0" if data.get("denied") else "1",
        "CLM_PRMRY_PYR_CD" if kind == "6" else "CLM_LINE_PRMRY_PYR_CD": data.get("primary_payer", ""),
    }
    if kind == "5":
        codes = "".join(f"{code:<7}" for code in data["diagnoses"])
        claim |= {
            "CLM_DGNS_1_8_CD": codes[:56],
            "CLM_DGNS_9_12_CD": codes[56:],
            "DGNS_PRCDR_ICD_IND": "0",
            "CLM_RNDRG_PRVDR_TAX_NUM": data["billing_tin"],
        }
    for line in data["lines"]:
        values = claim | {
            "CLM_LINE_NUM": str(line["line"]),
            "CLM_LINE_FROM_DT": line["service_on"],
            "CLM_LINE_HCPCS_CD": line["code"],
            "CLM_LINE_CVRD_PD_AMT": _dollars(line["paid_cents"]),
            "CLM_LINE_ALOWD_CHRG_AMT": _dollars(line["allowed_cents"]),
            "CLM_POS_CD": line["place_of_service"],
            "CLM_PRCSG_IND_CD": "D" if line.get("denied") else "A",
        }
        if kind == "5":
            values |= {
                "CLM_LINE_DGNS_CD": line["diagnoses"][0],
                "CLM_LINE_SRVC_UNIT_QTY": f"{Decimal(line['units']):.4f}",
            }
        yield kind, values


def _part_a(each: Told, common: dict[str, str], version: dict[str, str]) -> Iterator[tuple[str, dict[str, str]]]:
    data = each.data
    bill = data.get("type_of_bill", "")
    header = common | version
    header |= {
        "CLM_TYPE_CD": _SETTINGS.get(data["setting"], ""),
        "CLM_FROM_DT": data["from_on"],
        "CLM_THRU_DT": data["through_on"],
        "CLM_BLG_PRVDR_OSCAR_NUM": natural_key(each).split(":")[0],
        "CLM_PMT_AMT": _dollars(data["paid_cents"]),
        "CLM_MDCR_NPMT_RSN_CD": "N" if data.get("denied") else "",
        "CLM_NCH_PRMRY_PYR_CD": data.get("primary_payer", ""),
        "PRNCPL_DGNS_CD": data["diagnoses"][0],
        "DGNS_PRCDR_ICD_IND": "0",
    }
    if bill:
        header |= {"CLM_BILL_FAC_TYPE_CD": bill[0], "CLM_BILL_CLSFCTN_CD": bill[1], "CLM_BILL_FREQ_CD": bill[2]}
    yield "1", header
    for line in data.get("lines", ()):
        yield (
            "2",
            common
            | {
                "CLM_LINE_NUM": str(line["line"]),
                "CLM_LINE_FROM_DT": line["service_on"],
                "CLM_LINE_HCPCS_CD": line["code"],
                "CLM_LINE_PROD_REV_CTR_CD": line["revenue_center"],
                "CLM_LINE_SRVC_UNIT_QTY": f"{Decimal(line['units']):.4f}",
            },
        )
    for code in data.get("procedures", ()):
        yield "3", common | {"CLM_PRCDR_CD": code}
    for code in data["diagnoses"]:
        yield "4", common | {"CLM_DGNS_CD": code}


def _beneficiaries(told: list[Told]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for each in told:
        data, values = each.data, found.setdefault(each.member, {"BENE_MBI_ID": each.member})
        if each.type == "MemberDescribed":
            person = each.person
            values |= {
                "BENE_DOB": person["birth_date"],
                "BENE_SEX_CD": _SEX[data["sex"]],
                "BENE_DEATH_DT": data.get("died_on", ""),
                "BENE_1ST_NAME": person["given_name"],
                "BENE_LAST_NAME": person["family_name"],
                "BENE_LINE_1_ADR": person["address"],
                "GEO_USPS_STATE_CD": data["state"],
                "GEO_ZIP5_CD": person["postal_code"],
            }
        elif each.type == "EnrollmentChanged":
            match data["coverage"]:
                case "part_a":
                    values["BENE_PART_A_ENRLMT_BGN_DT"] = data["from_on"]
                case "part_b":
                    values["BENE_PART_B_ENRLMT_BGN_DT"] = data["from_on"]
                case "hospice":
                    values["BENE_RNG_BGN_DT"] = data["from_on"]
                    values["BENE_RNG_END_DT"] = data.get("through_on", "9999-12-31")
                case "dual":
                    values["BENE_DUAL_STUS_CD"] = data["code"]
                case "esrd":
                    values["BENE_MDCR_STUS_CD"] = "11"
    return {member: values for member, values in found.items() if "BENE_DOB" in values}

"""X12 005010: claims as adjudicated, 837 X298 (professional) and X299 (institutional), and members, 834 X220.

A submitted 837 says nothing of what was allowed and paid, so these are the post-adjudicated guides.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from itertools import islice
from typing import Any

from carepact.generate.corrections import FREQUENCIES
from carepact.generate.membership import day_before
from carepact.generate.told import Told

_IN_SET = 1_000
_DAY = "20250701"
_OTHER_FIRST = {"A": "12", "B": "13", "G": "43"}
_SEX = {"female": "F", "male": "M", "unknown": "U"}
_PARTS = {
    "part_a": "MEDICARE PART A", "part_b": "MEDICARE PART B", "part_d": "MEDICARE PART D",
    "medicare_advantage": "MEDICARE ADVANTAGE", "plan": "MEDICAL",
}  # fmt: skip


def files(told: list[Told], payer: str) -> Iterator[tuple[str, bytes]]:
    """(name, content) of each file; `told` are facts that X12 carries."""
    described: dict[str, dict[str, Any]] = {}
    members = []
    for each in told:
        if each.type == "MemberDescribed":
            described[each.member] = described.get(each.member, {}) | each.data
            members.append(_member(each, {}, each.data))
        elif each.type == "EnrollmentChanged":
            members.append(_member(each, each.data, described.get(each.member, {})))
    yield "members.834", _interchange("834", "BE", "005010X220A1", _sponsor(payer), members)
    for name, type_, guide in (
        ("professional.837", "ProfessionalClaimReceived", "005010X298"),
        ("institutional.837", "InstitutionalClaimReceived", "005010X299"),
    ):
        made = (_claim(each, payer, guide) for each in told if each.type == type_)
        yield name, _interchange("837", "HC", guide, _submitter(payer), made)


def _interchange(kind: str, group: str, guide: str, head: list[str], bodies: Iterable[list[str]]) -> bytes:
    isa = (
        f"ISA*00*          *00*          *ZZ*{'CAREPACT':<15}*ZZ*{'PAYER':<15}*{_DAY[2:]}*1200*^*00501*000000001*0*T*:"
    )
    segments = [isa, f"GS*{group}*CAREPACT*PAYER*{_DAY}*1200*1*X*{guide}"]
    source, sets = iter(bodies), 0
    while chosen := list(islice(source, _IN_SET)):
        sets += 1
        inner = list(head)
        level = 0
        for body in chosen:
            inner += [segment.format(one=level + 1, two=level + 2) for segment in body]
            level += 2
        control = f"{sets:04}"
        segments += [f"ST*{kind}*{control}*{guide}", *inner, f"SE*{len(inner) + 2}*{control}"]
    segments += [f"GE*{sets}*1", "IEA*1*000000001", ""]
    return "~\n".join(segments).encode()


def _sponsor(payer: str) -> list[str]:
    return [f"BGN*00*1*{_DAY}*1200****2", f"N1*P5*{payer.upper()}*FI*570000001", f"N1*IN*{payer.upper()}*FI*570000002"]


def _submitter(payer: str) -> list[str]:
    return [
        f"BHT*0019*00*1*{_DAY}*1200*RP",
        "NM1*41*2*CAREPACT*****46*1",
        "PER*IC*DATA*TE*8035550100",
        f"NM1*40*2*{payer.upper()}*****46*2",
    ]


def _day(iso: str) -> str:
    return iso.replace("-", "")


def _dollars(cents: int) -> str:
    return f"{Decimal(cents).scaleb(-2):.2f}"


def _name(each: Told, entity: str) -> str:
    person = each.person
    return f"NM1*{entity}*1*{person['family_name']}*{person['given_name']}****MI*{each.member}"


def _where(each: Told, described: dict[str, Any]) -> list[str]:
    person = each.person
    born, sex = _day(person["birth_date"]), _SEX[described.get("sex", "unknown")]
    place = f"N4*COLUMBIA*{described.get('state', 'SC')}*{person['postal_code']}"
    return [f"N3*{person['address']}", place, f"DMG*D8*{born}*{sex}"]


def _member(each: Told, change: dict[str, Any], described: dict[str, Any]) -> list[str]:
    """One INS: a description alone, a coverage given, or one ended."""
    kind = "001" if not change else "021" if change["covered"] else "024"
    died = f"*D8*{_day(described['died_on'])}" if "died_on" in described else ""
    ins = f"INS*Y*18*{kind}**A" + (f"*****{died}" if died else "")
    segments = [ins, f"REF*0F*{each.member}", _name(each, "IL"), *_where(each, described)]
    if change:
        segments.append(f"HD*{kind}**HLT*{_PARTS[change['coverage']]}*IND")
        if change["covered"]:
            segments.append(f"DTP*348*D8*{_day(change['from_on'])}")
            if "through_on" in change:
                segments.append(f"DTP*349*D8*{_day(change['through_on'])}")
        else:
            segments.append(f"DTP*349*D8*{_day(day_before(change['from_on']))}")
    return segments


def _claim(each: Told, payer: str, guide: str) -> list[str]:
    data = each.data
    institutional = guide.endswith("299")
    frequency = FREQUENCIES[data["action"]]
    first = data.get("primary_payer")
    lines = data.get("lines", [])
    codes = list(dict.fromkeys([*data["diagnoses"], *(code for line in lines for code in line.get("diagnoses", ()))]))
    charge = sum(line.get("charge_cents", 0) for line in lines)
    place = (
        f"{data['type_of_bill'][:2]}:A:{frequency}"
        if institutional
        else f"{lines[0]['place_of_service']}:B:{frequency}"
    )
    segments = [
        "HL*{one}**20*1",
        "NM1*85*2*CLINIC",
        f"REF*EI*{data['billing_tin']}",
        "HL*{two}*{one}*22*0",
        f"SBR*S*18***{_OTHER_FIRST[first]}****MB" if first else "SBR*P*18*******CI",
        _name(each, "IL"),
        *_where(each, {}),
        f"NM1*PR*2*{payer.upper()}*****PI*1",
        f"CLM*{data['patient_control_number']}*{_dollars(charge)}***{place}*Y*A*Y*Y",
    ]
    if institutional:
        segments.append(f"DTP*434*RD8*{_day(data['from_on'])}-{_day(data['through_on'])}")
        if "admitted_on" in data:
            segments.append(f"DTP*435*D8*{_day(data['admitted_on'])}")
    if "replaces" in data:
        segments.append(f"REF*F8*{data['replaces']}")
    principal, other = ("ABK", "ABF")
    segments += [f"HI*{other if i else principal}:{code}" for i, code in enumerate(codes)]
    segments += [f"HI*{'BBQ' if i else 'BBR'}:{code}:D8:{_day(data['from_on'])}"
                 for i, code in enumerate(data.get("procedures", ()))]  # fmt: skip
    segments.append("SBR*P*18*******CI")
    if institutional:
        segments.append(f"AMT*D*{_dollars(data['paid_cents'])}")
    segments += [
        f"NM1*PR*2*{payer.upper()}*****PI*1",
        f"DTP*573*D8*{_day(data['effective_on'])}",
        f"REF*F8*{data['claim_id']}",
    ]
    for i, line in enumerate(lines, 1):
        segments.append(f"LX*{i}")
        segments += _facility_line(line) if institutional else _service_line(line, codes)
        segments.append(f"DTP*472*D8*{_day(line['service_on'])}")
        if not institutional:
            paid = f"SVD*1*{_dollars(line['paid_cents'])}*HC:{line['code']}**{line['units']}"
            segments += [paid, f"AMT*B6*{_dollars(line['allowed_cents'])}"]
    return segments


def _service_line(line: dict[str, Any], codes: list[str]) -> list[str]:
    pointers = ":".join(str(codes.index(code) + 1) for code in line.get("diagnoses", ()))
    charge = _dollars(line["charge_cents"])
    return [f"SV1*HC:{line['code']}*{charge}*UN*{line['units']}*{line['place_of_service']}**{pointers}"]


def _facility_line(line: dict[str, Any]) -> list[str]:
    charge, gone = _dollars(line["charge_cents"]), line.get("noncovered_cents", 0)
    sv2 = f"SV2*{line['revenue_center']}*HC:{line['code']}*{charge}*UN*{line['units']}"
    return [sv2 + (f"**{_dollars(gone)}" if gone else "")]

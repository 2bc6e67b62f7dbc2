"""FHIR ExplanationOfBenefit, Coverage and Patient, R4 and STU3: one resource, a Bundle, or bulk NDJSON.

The version is told by shape (`productOrService` or `service`, money with `currency` or with `system` and `code`), not
by a model that happens to accept it; the walk takes either. CMS's own shapes (Blue Button, BCDA, AB2D) say more than
FHIR asks: claim type, processing indicator, denial codes, Part D amounts. A facility's amount is `payment`, once; a
professional claim's stands on its lines (`line_nch_pmt_amt`, else paid to provider and patient, else benefit).

Members are named by the Patient's logical id: a number as CMS's beneficiary id, anything else as the payer's member id.
A claim that names a prior one replaces it; one that is cancelled, entered in error or tagged NotFinalAction replaces
its own earlier version and counts nothing. Versions of a claim are a family by CMS's claim group, else by the claim.
Partly adjudicated and predetermined claims are no claims yet and are refused. Amounts finer than cents are rounded half
up. SNOMED CT, RxNorm and CVX codes, conditions by reference, and dental and vision claims are not read. Coverage needs
the day it began. Resources of other types are counted and refused by name.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import date
from typing import Any

from pydantic import ValidationError

from contracts.events import (
    ClaimLine,
    EnrollmentChanged,
    Event,
    InstitutionalClaimReceived,
    MemberDescribed,
    Person,
    PharmacyClaimReceived,
    ProfessionalClaimReceived,
)
from contracts.events.base import Identifier
from formats.cells import BadCell
from formats.fhir_json import (
    SOURCE,
    Json,
    Resource,
    cents,
    codings,
    day,
    first,
    number,
    objects,
    resources,
    string,
    tail,
)
from formats.icd9 import MAPPING, translated
from formats.reading import Place, Read, ReadFact, Reject
from formats.schema_errors import first_error
from formats.states import BY_NAME, LETTERS

_SETTINGS = {
    "10": "home_health", "20": "skilled_nursing", "30": "skilled_nursing", "40": "outpatient", "50": "hospice",
    "60": "inpatient", "61": "inpatient", "HHA": "home_health", "SNF": "skilled_nursing", "OUTPATIENT": "outpatient",
    "HOSPICE": "hospice", "INPATIENT": "inpatient", "inpatient": "inpatient", "outpatient": "outpatient",
}  # fmt: skip
_PROFESSIONAL = frozenset(("71", "72", "CARRIER", "professional"))
_DME = frozenset(("81", "82", "DME"))
_PHARMACY = frozenset(("PDE", "pharmacy"))
_ADVANTAGE = frozenset(("62", "63", "64"))
_GONE = frozenset(("cancelled", "entered-in-error"))
_DUMMY_GROUP = "99999999999"
_PAID_BY_CARRIER = frozenset("123456789AB")
_PAID_LINE = frozenset("AORS")
_RENDERING = frozenset(("performing", "primary", "rendering"))
_PARTS = {"A": "part_a", "B": "part_b", "C": "medicare_advantage", "D": "part_d"}
_HCPCS = re.compile(r"[A-Z0-9]{5}")
_NDC = re.compile(r"[0-9]{11}")
_FOUR, _TWO, _DRG = re.compile(r"[0-9]{4}"), re.compile(r"[0-9]{2}"), re.compile(r"[0-9]{3,4}")
_NPI = re.compile(r"[A-Za-z0-9]{1,15}")
_TIN = re.compile(r"[A-Za-z0-9-]{1,32}")
_PROCEDURE = re.compile(r"[A-Z0-9]{3,7}")


def read(chunks: Iterable[bytes], file: str) -> Iterator[Read]:
    """Facts and rejects in the order of the file; a row is a resource."""
    others: Counter[str] = Counter()
    for item in resources(chunks, file):
        if isinstance(item, Reject):
            yield item
            continue
        make = _MAKERS.get(item.type)
        if make is None:
            others[item.type if re.fullmatch(r"[A-Za-z]{1,40}", item.type) else "unnamed"] += 1
            continue
        place = Place(file, item.line, item.pointer)
        try:
            made = list(make(item.body, place))
        except BadCell as bad:
            yield _refused(item, file, bad.code, bad.column, bad.reason, bad.remedy)
        except ValidationError as error:
            found = first_error(error)
            yield _refused(item, file, found.code, found.field, found.reason, found.remedy)
        else:
            yield from made
    if others:
        names = ", ".join(f"{count} {name}" for name, count in sorted(others.items()))
        remedy = "nothing is to be done; send ExplanationOfBenefit, Coverage and Patient"
        yield Reject(
            Place(file), "not_read", f"resources of types that are not read: {names}", remedy, rows=others.total()
        )


def _refused(item: Resource, file: str, code: str, field: str, reason: str, remedy: str) -> Reject:
    return Reject(Place(file, item.line, item.pointer + field), code, reason, remedy, item.raw(), format=SOURCE)


def _fact(event: Event, place: Place, *key: str, rows: int = 1) -> ReadFact:
    return ReadFact(event, place, SOURCE, natural_key="|".join((SOURCE, *key)), rows=rows)


def _bad(field: str, reason: str, remedy: str, code: str = "schema") -> BadCell:
    return BadCell(code, field, reason, remedy)


def _person(reference: Any, field: str) -> Person:
    """The member that a reference names, by logical id or by an MBI."""
    found = reference if isinstance(reference, dict) else {}
    identifier = first(found.get("identifier"))
    named = string(found.get("reference"))
    if named:
        value = named.removeprefix("urn:uuid:").split("/_history")[0].rsplit("/", 1)[-1]
        return Person(identifier=_identifier(value))
    if "us-mbi" in string(identifier.get("system")) and (value := string(identifier.get("value"))):
        return Person(identifier=Identifier(kind="mbi", value=value))
    raise _bad(field, "a resource without its patient", "send the patient's reference", "no_member_identifier")


def _identifier(value: str) -> Identifier:
    kind = "beneficiary_id" if re.fullmatch(r"-?[0-9]+", value) else "member_id"
    return Identifier(kind=kind, value=value)


# Members


def _patient(body: Json, place: Place) -> Iterator[Read]:
    who = string(body.get("id"))
    if not who:
        raise _bad("/id", "a patient without an id", "send the logical id that claims refer to", "no_member_identifier")
    name, address = first(body.get("name")), first(body.get("address"))
    born, lines = day(body.get("birthDate"), "/birthDate"), address.get("line")
    given = name.get("given")
    person = Person(
        identifier=_identifier(who),
        family_name=string(name.get("family")) or None,
        given_name=string(given[0]) or None if isinstance(given, list) and given else None,
        birth_date=born,
        address=string(lines[0]) or None if isinstance(lines, list) and lines else None,
        postal_code=string(address.get("postalCode")) or None,
    )
    state, sex = string(address.get("state")), string(body.get("gender"))
    event = MemberDescribed.model_validate(
        {
            "person": person,
            "birth_year": born.year if born else None,
            "sex": sex if sex in ("female", "male") else "unknown",
            "state": state if state in LETTERS else BY_NAME.get(state.lower()),
            "died_on": day(body.get("deceasedDateTime"), "/deceasedDateTime"),
        }
    )
    yield _fact(event, place, "patient", who)


def _coverage(body: Json, place: Place) -> Iterator[Read]:
    person = _person(body.get("beneficiary"), "/beneficiary")
    period = first(body.get("period"))
    start = day(period.get("start"), "/period/start")
    if start is None:
        raise _bad("/period/start", "a coverage without the day it began", "send period.start", "no_date")
    status = string(body.get("status"))
    if status not in ("active", "cancelled"):
        raise _bad("/status", "a coverage neither active nor cancelled", "send one of the two")
    event = EnrollmentChanged.model_validate(
        {
            "person": person,
            "coverage": _kind_of(body),
            "from_on": start,
            "through_on": day(period.get("end"), "/period/end"),
            "covered": status == "active",
            "code": next((code for _, code in codings(body.get("relationship"))), None),
        }
    )
    yield _fact(event, place, "coverage", string(body.get("id")), status, start.isoformat())


def _kind_of(body: Json) -> str:
    """A part of Medicare, named as type, class or sub-plan; else the payer's plan."""
    grouping = first(body.get("grouping"))
    said = [
        *(code for _, code in codings(body.get("type"))),
        *(string(each.get("value")) for each in objects(body.get("class"))),
        string(grouping.get("subPlan")),
    ]
    for each in said:
        if found := re.fullmatch(r"Part ([A-D])", each):
            return _PARTS[found[1]]
    return "plan"


# Claims


class _Eob:
    """An explanation of benefit, with what CMS says beside FHIR gathered by its variable's name."""

    def __init__(self, body: Json) -> None:
        self.body = body
        self.types = _types(body)
        self.items = objects(body.get("item"))
        self.info = [*objects(body.get("supportingInfo")), *objects(body.get("information"))]
        self.said: dict[str, str] = {}
        holders = (body, first(body.get("type")), first(body.get("facility")), first(body.get("billablePeriod")))
        for holder in holders:
            for extension in objects(holder.get("extension")):
                if code := string(first(extension.get("valueCoding")).get("code")):
                    self.said.setdefault(tail(extension.get("url")), code)
        for each in self.info:
            for system, code in codings(each.get("code")):
                self.said.setdefault(tail(system), code)
        diagnoses = objects(body.get("diagnosis"))
        self.diagnoses = sorted((d for d in map(_diagnosis, diagnoses) if d), key=lambda d: not d[3])
        self.team = objects(body.get("careTeam"))

    def day_of(self, variable: str) -> date | None:
        """The day of a piece of supporting information."""
        for i, each in enumerate(self.info):
            if variable in {tail(code) for _, code in codings(each.get("category"))}:
                return day(each.get("timingDate"), f"/supportingInfo/{i}/timingDate")
        return None

    def identifier(self, *variables: str) -> str:
        """The value of the first identifier whose system ends in one of the names."""
        for each in objects(self.body.get("identifier")):
            if tail(each.get("system")) in variables and (value := string(each.get("value"))):
                return value
        return ""

    def npi(self, reference: Any) -> str | None:
        """The NPI of a reference to a provider."""
        found = first(first(reference).get("identifier"))
        kinds = {code.lower() for _, code in codings(found.get("type"))}
        value = string(found.get("value"))
        is_npi = "npi" in kinds or tail(found.get("system")) == "us-npi"
        return value if is_npi and _NPI.fullmatch(value) else None

    def tin(self) -> str | None:
        """The tax number of the care team, which CMS marks by system or type."""
        for member in self.team:
            found = first(first(member.get("provider")).get("identifier"))
            kinds = {code.lower() for _, code in codings(found.get("type"))}
            value = string(found.get("value"))
            if ("tax" in kinds or tail(found.get("system")) in ("v2-0203", "us-ein")) and _TIN.fullmatch(value):
                return value
        return None


def _types(body: Json) -> set[str]:
    """The codes of a claim's type. CMS's own stand above FHIR's, which call an outpatient claim professional."""
    found = [*codings(body.get("type")), *codings(body.get("subType"))]
    own = {code for system, code in found if tail(system) in ("nch_clm_type_cd", "eob-type")}
    return own or {code for _, code in found}


_Diagnosis = tuple[int, str, bool, bool]
"""Sequence, code without its dot, whether it is ICD-9, whether it is the principal one."""


def _diagnosis(body: Json) -> _Diagnosis | None:
    for system, code in codings(body.get("diagnosisCodeableConcept")):
        if "icd-9" in system or "icd-10" in system:
            principal = any(kind == "principal" for _, kind in codings(body.get("type")))
            sequence = body.get("sequence")
            return sequence if isinstance(sequence, int) else 0, code.replace(".", ""), "icd-9" in system, principal
    return None


def _coded(found: list[_Diagnosis]) -> dict[str, Any]:
    sent = tuple(dict.fromkeys(code for _, code, _, _ in found))
    if any(old for _, _, old, _ in found):
        return {"diagnoses": translated(sent), "source_diagnoses": sent, "code_mapping": MAPPING}
    return {"diagnoses": sent}


def _claim(body: Json, place: Place) -> Iterator[Read]:
    status = string(body.get("status"))
    if status not in ("active", *_GONE):
        raise _bad("/status", "a claim neither active nor cancelled", "send status active or cancelled")
    if string(body.get("use")) not in ("", "claim"):
        raise _bad(
            "/use", "no claim but an advance decision", "send it when the claim is adjudicated", "not_adjudicated"
        )
    if string(body.get("outcome")) in ("partial", "queued"):
        raise _bad("/outcome", "a claim not yet adjudicated", "send it when its outcome is complete", "not_adjudicated")
    eob = _Eob(body)
    if eob.types & _ADVANTAGE:
        raise _bad("/type", "a claim of Medicare Advantage", "send fee-for-service claims", "not_fee_for_service")
    claim = eob.identifier("clm_id", "pde_id", "CLM_UNIQ_ID") or string(body.get("id"))
    if not claim:
        raise _bad("/id", "a claim without its number", "send an identifier or an id")
    tags = {string(tag.get("code")) for tag in objects(first(body.get("meta")).get("tag"))}
    gone = status in _GONE or "NotFinalAction" in tags
    prior = _prior(body)
    period = first(body.get("billablePeriod"))
    start = day(period.get("start"), "/billablePeriod/start")
    through = day(period.get("end"), "/billablePeriod/end") or start
    if start is None or through is None:
        raise _bad("/billablePeriod/start", "a claim without its days", "send billablePeriod", "no_date")
    group = eob.identifier("claim-group")
    payment = first(body.get("payment"))
    effective = eob.day_of("nch_wkly_proc_dt") or day(payment.get("date"), "/payment/date") or through
    common: dict[str, Any] = {
        "person": _person(body.get("patient"), "/patient"),
        "claim_id": claim,
        "family": group if group and group != _DUMMY_GROUP else prior or claim,
        "action": "replacement" if gone or prior else "original",
        "replaces": claim if gone else prior or None,
        "effective_on": effective,
        "denied": gone,
    }
    event: Event
    if eob.types & _PHARMACY:
        event = _fill(eob, common, start)
    elif eob.types & (_PROFESSIONAL | _DME):
        event = _professional(eob, common | {"from_on": start, "through_on": through})
    elif (setting := next((_SETTINGS[t] for t in sorted(eob.types) if t in _SETTINGS), None)) or (
        "institutional" in eob.types
    ):
        paid = cents(payment.get("amount"), "/payment/amount") or 0
        event = _facility(eob, common | {"from_on": start, "through_on": through, "paid_cents": paid}, setting)
    else:
        raise _bad("/type", "a type of claim that is not read", "send institutional, professional or pharmacy claims")
    kind = type(event).__name__.removesuffix("ClaimReceived").lower()
    version = "gone" if gone else str(common["action"])
    yield _fact(event, place, kind, claim, version, effective.isoformat())


def _prior(body: Json) -> str:
    """The number of the claim that this one takes the place of."""
    for each in objects(body.get("related")):
        if any(code == "prior" for _, code in codings(each.get("relationship"))):
            claim = first(each.get("claim"))
            value = string(first(claim.get("identifier")).get("value")) or string(
                first(each.get("reference")).get("value")
            )
            return value or string(claim.get("reference")).rsplit("/", 1)[-1]
    return ""


def _professional(eob: _Eob, common: dict[str, Any]) -> ProfessionalClaimReceived:
    denial = eob.said.get("carr_clm_pmt_dnl_cd", "1")
    lines = tuple(_line(eob, i, item, common["from_on"], paid=True) for i, item in enumerate(eob.items))
    payer = eob.said.get("nch_prmry_pyr_cd") or _line_payer(eob)
    return ProfessionalClaimReceived.model_validate(
        common
        | {
            "denied": common["denied"] or denial not in _PAID_BY_CARRIER,
            "primary_payer": payer if payer and re.fullmatch(r"[A-Z]", payer) else None,
            "supplier": "dmepos" if eob.types & _DME else "physician",
            "billing_tin": eob.tin(),
            "billing_npi": eob.npi(eob.body.get("provider")),
            "lines": lines,
            **_coded(eob.diagnoses),
        }
    )


def _line_payer(eob: _Eob) -> str:
    for item in eob.items:
        for holder in (item, *objects(item.get("adjudication"))):
            for extension in objects(holder.get("extension")):
                if tail(extension.get("url")) == "line_bene_prmry_pyr_cd":
                    return string(first(extension.get("valueCoding")).get("code"))
    return ""


def _facility(eob: _Eob, common: dict[str, Any], setting: str | None) -> InstitutionalClaimReceived:
    said = eob.said
    bill = "".join(said.get(name, "") for name in ("clm_fac_type_cd", "clm_srvc_clsfctn_type_cd", "clm_freq_cd"))
    stay = first(eob.body.get("hospitalization"))
    for each in eob.info:
        if "admissionperiod" in {code for _, code in codings(each.get("category"))}:
            stay = first(each.get("timingPeriod"))
    drg = said.get("clm_drg_cd", "")
    procedures = [
        code
        for each in objects(eob.body.get("procedure"))
        for _, code in codings(each.get("procedureCodeableConcept"))
        if _PROCEDURE.fullmatch(code)
    ]
    payer = said.get("nch_prmry_pyr_cd", "")
    return InstitutionalClaimReceived.model_validate(
        common
        | {
            "denied": common["denied"] or bool(said.get("clm_mdcr_non_pmt_rsn_cd")),
            "primary_payer": payer if re.fullmatch(r"[A-Z]", payer) else None,
            "setting": setting or "other",
            "type_of_bill": bill if re.fullmatch(r"[0-9A-Z]{3}", bill) else None,
            "facility": eob.npi(eob.body.get("facility")),
            "billing_npi": eob.npi(eob.body.get("provider")) or eob.npi(eob.body.get("organization")),
            "admitted_on": day(stay.get("start"), "/hospitalization/start"),
            "discharged_on": day(stay.get("end"), "/hospitalization/end"),
            "drg": drg if _DRG.fullmatch(drg) else None,
            "procedures": tuple(procedures),
            "lines": tuple(_line(eob, i, item, common["from_on"], paid=False) for i, item in enumerate(eob.items)),
            **_coded(eob.diagnoses),
        }
    )


def _amounts(item: Json, field: str) -> tuple[dict[str, int], dict[str, str]]:
    """The amounts of a line's adjudication by category and by CMS variable; and its reasons by variable."""
    found, reasons = dict[str, int](), dict[str, str]()
    for i, each in enumerate(objects(item.get("adjudication"))):
        amount = cents(each.get("amount"), f"{field}/adjudication/{i}/amount")
        if amount is not None:
            for _, code in codings(each.get("category")):
                found.setdefault(tail(code), amount)
        for system, code in codings(each.get("reason")):
            reasons.setdefault(tail(system), code)
    return found, reasons


def _line(eob: _Eob, i: int, item: Json, start: date, *, paid: bool) -> ClaimLine:
    field = f"/item/{i}"
    amounts, reasons = _amounts(item, field)
    service = item.get("productOrService") or item.get("service")
    codes = list(codings(service))
    pointed = item.get("diagnosisSequence") or item.get("diagnosisLinkId")
    wanted = pointed if isinstance(pointed, list) else []
    diagnoses = _coded([found for number_ in wanted for found in eob.diagnoses if found[0] == number_])
    period = first(item.get("servicedPeriod"))
    on = day(item.get("servicedDate"), f"{field}/servicedDate") or day(period.get("start"), f"{field}/servicedPeriod")
    indicator = reasons.get("line_prcsg_ind_cd", "A")
    sequence = item.get("sequence")
    return ClaimLine(
        line=sequence if isinstance(sequence, int) else i + 1,
        service_on=on or start,
        code=next((code for system, code in codes if _is_hcpcs(system) and _HCPCS.fullmatch(code)), None),
        modifiers=tuple(code for _, code in codings(item.get("modifier"))),
        ndc=_ndc(service),
        revenue_center=next((code for _, code in codings(item.get("revenue")) if _FOUR.fullmatch(code)), None),
        diagnoses=diagnoses["diagnoses"],
        source_diagnoses=diagnoses.get("source_diagnoses", ()),
        units=number(item.get("quantity"), f"{field}/quantity"),
        charge_cents=_one_of(amounts, "line_sbmtd_chrg_amt", "rev_cntr_tot_chrg_amt", "submitted"),
        noncovered_cents=_one_of(amounts, "rev_cntr_ncvrd_chrg_amt", "noncovered") or 0,
        allowed_cents=_one_of(amounts, "line_alowd_chrg_amt", "eligible"),
        paid_cents=_paid(amounts) if paid else 0,
        place_of_service=next(
            (code for _, code in codings(item.get("locationCodeableConcept")) if _TWO.fullmatch(code)), None
        ),
        rendering_npi=_rendering(eob, item),
        rendering_tin=eob.tin(),
        denied=indicator not in _PAID_LINE,
    )


def _one_of(amounts: dict[str, int], *names: str) -> int | None:
    return next((amounts[name] for name in names if name in amounts), None)


def _paid(amounts: dict[str, int]) -> int:
    if (found := amounts.get("line_nch_pmt_amt")) is not None:
        return found
    if "paidtoprovider" in amounts or "paidtopatient" in amounts:
        return amounts.get("paidtoprovider", 0) + amounts.get("paidtopatient", 0)
    return _one_of(amounts, "line_prvdr_pmt_amt", "benefit") or 0


def _is_hcpcs(system: str) -> bool:
    return "hcpcs" in system.lower() or tail(system) == "cpt"


def _ndc(service: Any) -> str | None:
    sent = [code for system, code in codings(service) if tail(system) == "ndc"]
    for extension in objects(first(service).get("extension")):
        if tail(extension.get("url")) == "ndc":
            sent.append(string(first(extension.get("valueCoding")).get("code")))
    return next((code for code in sent if _NDC.fullmatch(code)), None)


def _rendering(eob: _Eob, item: Json) -> str | None:
    pointed = item.get("careTeamSequence") or item.get("careTeamLinkId")
    wanted = pointed if isinstance(pointed, list) else []
    for member in eob.team:
        roles = {code for _, code in codings(member.get("role"))}
        if member.get("sequence") in wanted and roles & _RENDERING and (npi := eob.npi(member.get("provider"))):
            return npi
    return None


def _fill(eob: _Eob, common: dict[str, Any], start: date) -> PharmacyClaimReceived:
    """A drug event; the plan paid what was covered and what was not."""
    item = first(eob.body.get("item"))
    amounts, _ = _amounts(item, "/item/0")
    service = item.get("productOrService") or item.get("service")
    supply = None
    for extension in objects(first(item.get("quantity")).get("extension")):
        if tail(extension.get("url")) == "days_suply_num":
            supply = number(extension.get("valueQuantity"), "/item/0/quantity")
    for i, each in enumerate(eob.info):
        if {"dayssupply", "days_suply_num"} & {tail(code) for _, code in codings(each.get("category"))}:
            supply = number(each.get("valueQuantity"), f"/supportingInfo/{i}/valueQuantity")
    plan = ("cvrd_d_plan_pd_amt", "ncvrd_plan_pd_amt")
    paid = sum(amounts.get(name, 0) for name in plan) if any(name in amounts for name in plan) else _paid(amounts)
    prescriber = next(
        (
            npi
            for member in eob.team
            if {code for _, code in codings(member.get("role"))} & {"primary", "prescribing"}
            and (npi := eob.npi(member.get("provider")))
        ),
        None,
    )
    return PharmacyClaimReceived.model_validate(
        common
        | {
            "filled_on": day(item.get("servicedDate"), "/item/0/servicedDate") or start,
            "ndc": _ndc(service),
            "quantity": number(item.get("quantity"), "/item/0/quantity"),
            "days_supply": int(supply) if supply is not None and supply == int(supply) else None,
            "pharmacy_npi": eob.npi(eob.body.get("facility")) or eob.npi(eob.body.get("organization")),
            "prescriber_npi": prescriber,
            "paid_cents": paid,
            "total_cost_cents": _one_of(amounts, "tot_rx_cst_amt", "drugcost", "submitted"),
            "member_paid_cents": _one_of(amounts, "ptnt_pay_amt", "paidbypatient"),
            "low_income_subsidy_cents": amounts.get("lics_amt", 0),
            "above_threshold_cents": amounts.get("gdc_abv_oopt_amt", 0),
        }
    )


_MAKERS = {"ExplanationOfBenefit": _claim, "Coverage": _coverage, "Patient": _patient}

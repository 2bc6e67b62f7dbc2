"""FHIR ExplanationOfBenefit and Claim, R4 and STU3, as claims.

The version is told by shape (`productOrService` or `service`, money with `currency` or with `system` and `code`), not
by a model that happens to accept it; the walk takes either. CMS's own shapes (Blue Button, BCDA, AB2D) say more than
FHIR asks: claim type, processing indicator, denial codes, Part D amounts. A facility's amount is `payment`, once; a
professional claim's stands on its lines (`line_nch_pmt_amt`, else paid to provider and patient, else benefit).

Members are named by the Patient's logical id: a number as CMS's beneficiary id, anything else as the payer's member id.
A claim that names a prior one replaces it; one that is cancelled, entered in error or tagged NotFinalAction replaces
its own earlier version and counts nothing. Versions of a claim are a family by CMS's claim group, else by the claim.
Partly adjudicated and predetermined claims are no claims yet and are refused. Amounts finer than cents are rounded half
up. SNOMED CT, RxNorm and CVX codes, conditions by reference, and dental and vision claims are not read.

A Claim is what was asked, not what was paid: services, diagnoses and charges, and no amount of the plan's. CMS's own
partly adjudicated ones (FISS, MCS) are refused, since their explanation of benefit comes under another number.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from typing import Any

from contracts.events import (
    ClaimLine,
    InstitutionalClaimReceived,
    PharmacyClaimReceived,
    ProfessionalClaimReceived,
)
from formats.cms_codes import PAID_BY_CARRIER, PAID_LINE, SETTINGS
from formats.fhir_json import (
    Json,
    bad,
    cents,
    codings,
    day,
    fact_of,
    first,
    number,
    objects,
    person_of,
    string,
    tail,
)
from formats.icd9 import MAPPING, translated
from formats.reading import Place, Read

_SETTINGS = SETTINGS | {
    "HHA": "home_health", "SNF": "skilled_nursing", "OUTPATIENT": "outpatient", "HOSPICE": "hospice",
    "INPATIENT": "inpatient", "inpatient": "inpatient", "outpatient": "outpatient",
}  # fmt: skip
"""Claim types of facilities by CMS's code, by its BFD's word, and by FHIR's."""
_PROFESSIONAL = frozenset(("71", "72", "CARRIER", "professional"))
_DME = frozenset(("81", "82", "DME"))
_PHARMACY = frozenset(("PDE", "pharmacy"))
_ADVANTAGE = frozenset(("62", "63", "64"))
_GONE = frozenset(("cancelled", "entered-in-error"))
_DUMMY_GROUP = "99999999999"
_RENDERING = frozenset(("performing", "primary", "rendering"))
_HCPCS = re.compile(r"[A-Z0-9]{5}")
_NDC = re.compile(r"[0-9]{11}")
_FOUR, _TWO, _DRG = re.compile(r"[0-9]{4}"), re.compile(r"[0-9]{2}"), re.compile(r"[0-9]{3,4}")
_NPI = re.compile(r"[A-Za-z0-9]{1,15}")
_TIN = re.compile(r"[A-Za-z0-9-]{1,32}")
_PROCEDURE = re.compile(r"[A-Z0-9]{3,7}")


# Claims


_AnyClaim = ProfessionalClaimReceived | InstitutionalClaimReceived | PharmacyClaimReceived


class _Eob:
    """A claim or an explanation of benefit, with what CMS says beside FHIR gathered by its variable's name."""

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


def explanation(body: Json, place: Place) -> Iterator[Read]:
    """A claim as adjudicated."""
    if string(body.get("outcome")) in ("partial", "queued"):
        raise bad("/outcome", "a claim not yet adjudicated", "send it when its outcome is complete", "not_adjudicated")
    eob = _Eob(body)
    event, version = _claim(eob)
    yield _told(event, version, place)


def claim(body: Json, place: Place) -> Iterator[Read]:
    """A claim as submitted: nobody has said what is paid of it."""
    eob = _Eob(body)
    if any(tail(system) == "rda-type" for system, _ in codings(body.get("type"))):
        reason, remedy = "a claim that CMS is still adjudicating", "send its explanation of benefit when there is one"
        raise bad("/type", reason, remedy, "not_adjudicated")
    event, version = _claim(eob)
    yield _told(_charged(event, eob), version, place)


def _told(event: _AnyClaim, version: str, place: Place) -> Read:
    kind = type(event).__name__.removesuffix("ClaimReceived").lower()
    return fact_of(event, place, kind, event.claim_id, version, event.effective_on.isoformat())


def _charged(event: _AnyClaim, eob: _Eob) -> _AnyClaim:
    """The claim with what it charges, by line; of one line the total is its charge."""
    total = cents(eob.body.get("total"), "/total")
    if isinstance(event, PharmacyClaimReceived):
        return event.model_copy(update={"total_cost_cents": total})
    nets = [cents(item.get("net"), f"/item/{i}/net") for i, item in enumerate(eob.items)]
    if len(nets) == 1 and nets[0] is None:
        nets = [total]
    lines = [line.model_copy(update={"charge_cents": net}) for line, net in zip(event.lines, nets, strict=True)]
    return event.model_copy(update={"lines": tuple(lines)})


def _claim(eob: _Eob) -> tuple[_AnyClaim, str]:
    """The event of either resource, and which version of the claim it is."""
    body = eob.body
    status = string(body.get("status"))
    if status not in ("active", *_GONE):
        raise bad("/status", "a claim neither active nor cancelled", "send status active or cancelled")
    if string(body.get("use")) not in ("", "claim"):
        raise bad(
            "/use", "no claim but an advance decision", "send it when the claim is adjudicated", "not_adjudicated"
        )
    if eob.types & _ADVANTAGE:
        raise bad("/type", "a claim of Medicare Advantage", "send fee-for-service claims", "not_fee_for_service")
    number_ = eob.identifier("clm_id", "pde_id", "CLM_UNIQ_ID") or string(body.get("id"))
    if not number_:
        raise bad("/id", "a claim without its number", "send an identifier or an id")
    tags = {string(tag.get("code")) for tag in objects(first(body.get("meta")).get("tag"))}
    gone = status in _GONE or "NotFinalAction" in tags
    prior = _prior(body)
    period = first(body.get("billablePeriod"))
    start = day(period.get("start"), "/billablePeriod/start")
    through = day(period.get("end"), "/billablePeriod/end") or start
    if start is None or through is None:
        raise bad("/billablePeriod/start", "a claim without its days", "send billablePeriod", "no_date")
    group = eob.identifier("claim-group")
    payment = first(body.get("payment"))
    effective = eob.day_of("nch_wkly_proc_dt") or day(payment.get("date"), "/payment/date") or through
    common: dict[str, Any] = {
        "person": person_of(body.get("patient"), "/patient"),
        "claim_id": number_,
        "family": group if group and group != _DUMMY_GROUP else prior or number_,
        "action": "replacement" if gone or prior else "original",
        "replaces": number_ if gone else prior or None,
        "effective_on": effective,
        "denied": gone,
    }
    event: _AnyClaim
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
        raise bad("/type", "a type of claim that is not read", "send institutional, professional or pharmacy claims")
    return event, "gone" if gone else str(common["action"])


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
            "denied": common["denied"] or denial not in PAID_BY_CARRIER,
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
        denied=indicator not in PAID_LINE,
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

"""Given facts of a few people, then a metric: short dictionaries become facts, and are read as a log is.

A fact's kind is its first key, whose value is its day or its name:

    {line = 2025-02-03, code = "J9035", units = 40, paid = 900, allowed = 1000, place = "11", dx = ["C50911"]}
    {facility = 2025-02-03, revenue = "0450", at = "H1", paid = 500, dx = ["R509"], setting = "outpatient"}
    {stay = 2025-02-03, through = 2025-02-07, at = "H1", paid = 9000, dx = ["C50911"], bill = "0111"}
    {fill = 2025-02-03, ndc = "...", paid = 90, cost = 100, owes = 10}
    {void = "c2"}  {replace = "c2", line = 2025-02-04, ...}
    {covered = 2024-01-01, through = 2024-12-31}  {uncovered = 2024-03-01}  {born = 1970, sex = "female"}  {died = ...}
    {asked = 2025-02-01, code = "J9035", id = "a1"}  {decided = "a1", on = 2025-02-02, as = "approved", hours = 20}
    {survey = 2025-02-01, of = "PHQ-9", scores = {phq9_total = 12}}  {experience = 2025-02-01, scores = {access = 80}}
    {contact = 2025-02-01, program = "navigation", as = "offered"}  {found = 2025-01-01, stage = "IV"}
    {tier = 2025-01-01, code = "J9035", is = 3, costs = 20}  {belongs = "medical_home", from = 2024-01-01}
    {listed = "network", provider = "N1", tin = "T1", from = 2024-01-01}  {closed = 2025-12-31}

`who` names the person ('a' without it), `id` the record. Amounts are dollars. Everybody is covered from 2020 on. An
episode is said as the contract would have decided it: {episode = 2025-01-10, cancer = "breast", target = 80000}; it is
six months long, and of practice P1.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

from contracts.envelope import Fact
from contracts.events import (
    ClinicalFactRecorded,
    DayClosed,
    EnrollmentChanged,
    EproResponseReceived,
    Event,
    ExperienceSurveyReceived,
    FormularyTierSet,
    InstitutionalClaimReceived,
    MemberDescribed,
    NetworkRosterChanged,
    PharmacyClaimReceived,
    PriorAuthorizationDecided,
    PriorAuthorizationRequested,
    ProfessionalClaimReceived,
    ProgramContactRecorded,
    RosterAttested,
    stored,
)
from contracts.metrics.codes import Codes
from contracts.metrics.reading import Reader
from contracts.metrics.records import EpisodeRecord
from contracts.metrics.scope import Scope
from contracts.roster import bundled_sheet
from contracts.units import add_days, add_months
from tests.contracts.given import cents, plain

Data = dict[str, Any]
PLAN = "palmetto-manufacturing"
CODES = Codes.of(bundled_sheet("employer")[2])
BREAST = ["C50911"]


def scope_of(given: Sequence[Data], period: Sequence[Any], **more: Any) -> Scope:
    """The scope that facts and episodes make, from one day through another."""
    reader, episodes = Reader(), defaultdict[str, list[EpisodeRecord]](list)
    for number, short in enumerate(given, 1):
        if "episode" in short:
            episodes[short.get("who", "a")].append(_episode(short, number))
    for fact in facts_of(given):
        reader.take(fact)
    return Scope(reader.evidence(PLAN, episodes), CODES, plain(period[0]), plain(period[1]), **more)


def facts_of(given: Iterable[Data]) -> list[Fact]:
    """The facts, everybody's coverage first."""
    told = list(given)
    people = sorted({short.get("who", "a") for short in told})
    facts = [
        _fact(0, who, EnrollmentChanged, {"coverage": "plan", "from_on": "2020-01-01"}, f"e-{who}") for who in people
    ]
    named: dict[str, tuple[type[Event], Data]] = {}
    for number, short in enumerate(told, 1):
        if "episode" not in short:
            event, data = _said(dict(short), f"c{number}", named)
            named[data.get("claim_id", "")] = event, data
            who = "" if "listed" in short or "closed" in short else short.get("who", "a")
            facts.append(_fact(number, who, event, data, f"f{number}"))
    return facts


def _fact(at: int, who: str, event: type[Event], data: Data, name: str) -> Fact:
    made = stored(event).model_validate(data, strict=False)
    return Fact(name, name, event.type_name(), who, PLAN if who else "", made, "log", 0, at, 0, f"digest of {name}")


def _episode(short: Data, number: int) -> EpisodeRecord:
    start = plain(short["episode"])
    target = cents(short["target"]) if "target" in short else None
    return EpisodeRecord(
        f"ep-{number}", start, add_days(add_months(start, 6), -1), short.get("cancer", "breast"), "P1",
        short.get("included", True), target_cents=target, expected_cents=target,
    )  # fmt: skip


def _said(short: Data, name: str, named: dict[str, tuple[type[Event], Data]]) -> tuple[type[Event], Data]:
    kind = next(key for key in short if key not in ("who", "id"))
    name, day = short.pop("id", name), short.pop(kind)
    on = plain(day)
    until = plain(short["through"]) if "through" in short else None
    match kind:
        case "void" | "replace":
            event, before = named[day]
            if kind == "replace":
                event, changed = _said({k: v for k, v in short.items() if k != "who"}, name, named)
                before = {**before, **changed}
            action = {"void": "void", "replace": "replacement"}[kind]
            return event, {**before, "claim_id": name, "action": action, "replaces": day, "effective_on": "2026-01-01"}
        case "line":
            return ProfessionalClaimReceived, _professional(short, name, on)
        case "facility" | "stay":
            return InstitutionalClaimReceived, _institutional(kind, short, name, on, until)
        case "fill":
            return PharmacyClaimReceived, {
                **_claim(short, name), "filled_on": on, "ndc": short["ndc"], "quantity": Decimal(30),
                "paid_cents": cents(short.get("paid", 0)), "total_cost_cents": cents(short.get("cost", 0)),
                "member_paid_cents": cents(short.get("owes", 0)),
            }  # fmt: skip
        case "covered" | "uncovered":
            return EnrollmentChanged, {"coverage": "plan", "from_on": on, "through_on": until,
                                       "covered": kind == "covered", "code": short.get("code")}  # fmt: skip
        case "born":
            return MemberDescribed, {"birth_year": day, "sex": short.get("sex")}
        case "died":
            return MemberDescribed, {"died_on": on}
        case "asked":
            return PriorAuthorizationRequested, {"request_id": name, "requested_on": on, "code": short["code"]}
        case "decided":
            answer = {"decision": short["as"], "hours": _number(short.get("hours"))}
            return PriorAuthorizationDecided, {"request_id": day, "decided_on": plain(short["on"]), **answer}
        case "survey":
            return EproResponseReceived, {"response_id": name, "instrument": short["of"], "instrument_version": "1",
                                          "collected_on": on, "scores": _scores(short),
                                          "items": _items(short)}  # fmt: skip
        case "experience":
            return ExperienceSurveyReceived, {"response_id": name, "survey": "CAHPS", "completed_on": on,
                                              "scores": _scores(short)}  # fmt: skip
        case "contact":
            return ProgramContactRecorded, {"record_id": name, "program": short["program"], "contact_on": on,
                                            "contact": short["as"]}  # fmt: skip
        case "found":
            element, value = next((k, v) for k, v in short.items() if k != "who")
            return ClinicalFactRecorded, {"record_id": name, "observed_on": on, "element": element, "value": value}
        case "tier":
            cost = cents(short["costs"]) if "costs" in short else None
            return FormularyTierSet, {
                "code": short["code"],
                "tier": short["is"],
                "from_on": on,
                "member_cost_cents": cost,
            }
        case "belongs":
            return RosterAttested, {
                "program": day,
                "provider": "N9",
                "from_on": plain(short["from"]),
                "through_on": until,
            }
        case "listed":
            return NetworkRosterChanged, {"roster": day, "provider": short["provider"], "tin": short.get("tin"),
                                          "from_on": plain(short["from"]), "through_on": until}  # fmt: skip
        case "closed":
            return DayClosed, {"through_on": on}
        case _:
            raise AssertionError(f"no fact of kind {kind}")


def _claim(short: Data, name: str) -> Data:
    return {"claim_id": name, "family": short.get("family", name), "effective_on": "2025-01-01",
            "sensitivity": ("part2",) if short.get("part2") else (),
            "denied": short.get("whole_denied", False)}  # fmt: skip


def _professional(short: Data, name: str, on: str) -> Data:
    paid = cents(short.get("paid", 0))
    line = {
        "line": 1, "service_on": on, "code": short.get("code"), "ndc": short.get("ndc"),
        "diagnoses": short.get("dx", BREAST), "units": _number(short.get("units", 1)),
        "paid_cents": paid, "place_of_service": short.get("place", "11"),
        "allowed_cents": cents(short["allowed"]) if "allowed" in short else None,
        "modifiers": short.get("modifiers", ()), "denied": short.get("denied", False),
    }  # fmt: skip
    return {**_claim(short, name), "from_on": on, "through_on": on, "billing_npi": short.get("npi"),
            "billing_tin": short.get("tin", "T1"), "diagnoses": short.get("dx", BREAST), "lines": [line]}  # fmt: skip


def _institutional(kind: str, short: Data, name: str, on: str, until: str | None) -> Data:
    inpatient = kind == "stay"
    revenue, code = short.get("revenue"), short.get("code")
    line = {"line": 1, "service_on": on, "revenue_center": revenue, "code": code, "units": Decimal(1)}
    return {
        **_claim(short, name), "setting": "inpatient" if inpatient else short.get("setting", "outpatient"),
        "type_of_bill": short.get("bill"), "facility": short.get("at", "H1"), "from_on": on, "through_on": until or on,
        "admitted_on": plain(short.get("admitted", on)) if inpatient else None, "discharged_on": until,
        "diagnoses": short.get("dx", BREAST), "paid_cents": cents(short.get("paid", 0)),
        "allowed_cents": cents(short["allowed"]) if "allowed" in short else None,
        "lines": [line] if revenue or code else [],
    }  # fmt: skip


def _scores(short: Data) -> list[Data]:
    return [{"name": name, "value": _number(value)} for name, value in short.get("scores", {}).items()]


def _items(short: Data) -> list[Data]:
    return [{"code_system": "x", "code": c, "value": _number(v)} for c, v in short.get("items", {}).items()]


def _number(value: Any) -> Decimal | None:
    return None if value is None else Decimal(str(value))

"""What is decided beside a member's log: due days, ages, measures, a month's readiness; given figures, then an answer.

Each kind is a function of a term sheet and of what a case of `cases/weighed/*.toml` gives. The code is the product's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from contracts.employer_settlement import settle
from contracts.errors import NoTermInForce
from contracts.events import EproResponseReceived, ProgramContactRecorded, RedesignActivityEvidenced, stored
from contracts.events import PracticeParticipationChanged as Participation
from contracts.gathering import Gatherer
from contracts.parts import Sheet, Span, ref_to
from contracts.payer_order import pays_first
from contracts.payment_life import age
from contracts.period import Period, period_of
from contracts.practice_facts import PracticeFacts
from contracts.quality import counts as measured
from contracts.quality import score
from contracts.readiness import Contact, Patient, Running, readiness
from contracts.reference_values import References
from contracts.releases import window
from contracts.reported_measures import Seen, counts
from contracts.terms import DatedValue, TermSheet
from contracts.units import FOREVER
from tests.contracts import test_employer_settlement as employers
from tests.contracts.given import PAYERS, Data, Log, plain

REF = ref_to("given", "given", 0)


def period(sheet: TermSheet, given: Data) -> Data:
    """When a period's episodes begin, when the last is over, when its run is due."""
    made = Period.of(sheet, given["number"], given.get("run", "initial"))
    return {name: getattr(made, name) for name in Period.__slots__}


def number(sheet: TermSheet, given: Data) -> Data:
    """The period of a day of initiation."""
    return {"number": period_of(sheet, plain(given["on"]))}


def aged(sheet: TermSheet, given: Data) -> Data:
    """How old what is open is."""
    found = age(sheet, given["determined_on"], given["on"])
    return {"due_on": plain(found.due_on), "overdue_days": found.overdue_days, "age": found.bucket}


def release(sheet: TermSheet, given: Data) -> Data:
    """When a period's figures leave to an employer."""
    made = window(sheet, plain(given["from"]))
    return {"through_on": plain(made.period.last_on), "opens_on": made.opens_on}


def settled(sheet: TermSheet, given: Data) -> Data:
    """What claims show for quality, of the one episode that some facts make."""
    log = Log(sheet.contract).opened().enrolled().told(given["facts"])
    gatherer = Gatherer(PAYERS[sheet.contract], sheet.contract, 0)
    for fact in log.facts:
        gatherer.take(fact)
    (case,) = gatherer.cases(References(gatherer.adoption.references))
    names = ("admission", "emergency", "therapy_at_end", "hospice")
    return {name: getattr(case, name) for name in names} | {"counts": {k: list(v) for k, v in measured([case]).items()}}


def points(sheet: TermSheet, given: Data) -> Data:
    """The points possible by measure, and the score of what is reported: every point of one measure, none of others."""
    on, held = plain(given["on"]), {}
    possible = dict(pair.split(":") for pair in sheet.on("quality_measures", on).value.split())
    for measure in possible:
        reported = "99" if measure == given["all_of"] else "0"
        held[f"quality_points|P1/1/{measure}"] = [["2000-01-01", reported, "points", "given", REF]]
    made = score(sheet, References(held), 1, on, [], {"P1": 1}, "")
    return {"score": str(made.score), "of": [str(one.possible) for one in made.measures]}


def cases_scored(sheet: TermSheet, given: Data) -> Data:
    """Whether a measure with one case, or with none, is scored."""
    log = Log(sheet.contract).opened().enrolled().told(given["facts"])
    gatherer = Gatherer(PAYERS[sheet.contract], sheet.contract, 0)
    for fact in log.facts:
        gatherer.take(fact)
    cut: dict[str, list[list[Any]]] = {}
    for measure in given["cut"]:
        cut[f"quality_cut|1/{measure}/5"] = [["2000-01-01", "50", "per cent", "given", REF]]
    cases = list(gatherer.cases(References(gatherer.adoption.references)))
    made = score(sheet, References(cut), 1, plain(given["on"]), cases, {"P1": len(cases)}, "")
    return {one.measure: "-" if one.points is None else str(one.points) for one in made.measures}


def first_payer(sheet: TermSheet, given: Data) -> Data:
    """Who pays first beside Medicare."""
    held = Span(plain(given["from"]), FOREVER, given["ground"], REF)
    spans = {"plan": [Span("2015-01-01", FOREVER, "", REF)], "part_a": [held]}
    if given["ground"] == "esrd":
        spans["esrd"] = [held]
    size = None
    if "size" in given:
        size = DatedValue("employer_size", "given", str(given["size"]), "people", "", "", "given", "open")
    return {"first": pays_first(sheet, spans, given.get("born", 1980), plain(given["on"]), size).first}


def reported(sheet: TermSheet, given: Data) -> Data:
    """EOM-4 and EOM-5 of one visit, from answers and contacts."""
    answers = [_answers(plain(day), "PRO-CTCAE", {"pain-severity": value}) for day, value in given.get("pain", ())]
    answers += [_answers(plain(day), "PHQ-2", {"44250-9": v, "44255-8": 0}) for day, v in given.get("mood", ())]
    contacts = [Contact(plain(day), program, "P1", ()) for day, program in given.get("contacts", ())]
    seen = Seen(plain(given["started_on"]), (plain(given["visit"]),), answers, contacts)
    return {measure: list(found) for measure, found in counts(sheet, [seen]).items()}


def _answers(on: str, instrument: str, told: Mapping[str, int]) -> Any:
    items = [{"code_system": "X", "code": code, "value": str(value)} for code, value in told.items()]
    data = {"response_id": f"{on}{instrument}", "instrument": instrument, "instrument_version": "1"}
    return stored(EproResponseReceived).model_validate(data | {"collected_on": on, "items": items}, strict=False)


def ready(sheet: TermSheet, given: Data) -> Data:
    """What a practice's month lacks to be billable, of one patient."""
    month = given["month"]
    known = PracticeFacts()
    _tell(known, Participation, practice="P1", from_on="2023-07-01")
    for activity in given.get("activities", sheet.on("redesign_activities", f"{month}-01").value.split()):
        named = {"record_id": activity, "practice": "P1", "evidence": "attestation", "from_on": "2023-07-01"}
        _tell(known, RedesignActivityEvidenced, activity=activity, **named)
    patient = Patient()
    for day, program, *components in given.get("contacts", ()):
        data = {"record_id": f"{program}{day}", "program": program, "contact_on": plain(day), "contact": "reached"}
        everything = sheet.on("care_plan_components", f"{month}-01").value.split()
        data["components"] = [one for one in everything if one not in components] if program == "care_plan" else []
        patient.hear(ProgramContactRecorded.type_name(), _stored(ProgramContactRecorded, data), REF)
    for day, instrument in given.get("answers", ()):
        patient.hear(EproResponseReceived.type_name(), _answers(plain(day), instrument, {}), REF)
    episode = Running("e", "m", plain(given["started_on"]), plain(given["ends_on"]), "lung")
    said = readiness(sheet, known, "P1", month, [episode], {"m": patient})
    return {"ready": said["ready"], "practice": said["practice_lacks"], "patient": said["patients"][0]["lacks"]}


def _tell(known: PracticeFacts, model: Any, **data: Any) -> None:
    known.hear(model.type_name(), _stored(model, data), REF)


def _stored(model: Any, data: Data) -> Any:
    return stored(model).model_validate(data, strict=False)


def planned(sheet: TermSheet, given: Data) -> Data:
    """A plan's period: so many people, each with one episode; what some clauses move, and which harm shows."""
    one = employers.plan(given["people"], given["returned"], cost=given.get("cost", 78_750), claims=(employers.CHEAP,))
    terms = {**sheet.content["terms"]}
    for name, value in {"settled_by": given["clauses"], **given.get("terms", {})}.items():
        terms[name] = {**terms[name], "values": [{"from": "2000-01-01", "value": value}]}
    one.sheet = Sheet("given", "", REF, {**sheet.content, "terms": terms})
    broken = [name for name, held in sorted(one.returns.items()) if held.cause == 1][: given.get("broke", 0)]
    for name in broken:
        one.returns[name] = replace(one.returns[name], broke_after=given["after"])
    practice = employers.only(settle(one, 4, given.get("run", "initial")))
    harm = [] if practice.pool is None else list(practice.pool.harm.exceeded)
    return {"moved": employers.moved(practice), "harm": harm, "pending": [list(why) for why in practice.pending]}


def dated(sheet: TermSheet, given: Data) -> Data:
    """The values of some terms on a day; '' before the first."""
    day, found = plain(given["on"]), {}
    for term in given["terms"]:
        try:
            found[term] = sheet.on(term, day).value
        except NoTermInForce:
            found[term] = ""
    return found


KINDS: Mapping[str, Callable[[TermSheet, Data], Data]] = {
    "period": period,
    "number": number,
    "age": aged,
    "release": release,
    "settled": settled,
    "points": points,
    "scored": cases_scored,
    "first_payer": first_payer,
    "reported": reported,
    "ready": ready,
    "plan": planned,
    "dated": dated,
}

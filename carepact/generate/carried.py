"""What each format carries of a population, said once: the writers go by it, the tests hold it, the docs list it.

`carried` leaves of the facts what a format has words for; a writer then writes all that is left. Files have no event
ids, so an event sent twice is left out of every format but NDJSON.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import orjson

from carepact.generate.corrections import as_cancels, by_name, denied_left_out, final
from carepact.generate.membership import as_beneficiaries, as_changes, as_coverages, as_spans
from carepact.generate.told import Told

FORMATS = ("ndjson", "x12", "cclf", "fhir", "csv")


@dataclass(frozen=True, slots=True)
class Loss:
    """One thing that a format does not carry. `what` is a type of event, or a field of one; '' where it is a rule."""

    what: str
    says: str


_HEALTH = (
    Loss("EproResponseReceived", "answers of patients; see the formats of answers"),
    Loss("ClinicalFactRecorded", "stage, spread and markers"),
    Loss("ProgramContactRecorded", "contacts of programmes"),
    Loss("PriorAuthorizationRequested", "authorizations asked for"),
    Loss("PriorAuthorizationDecided", "authorizations decided"),
    Loss("SociodemographicsRecorded", "what patients say of themselves"),
    Loss("ExperienceSurveyReceived", "surveys of experience"),
    Loss("FormularyTierSet", "formulary tiers"),
    Loss("RosterAttested", "who belongs to a programme"),
)
_WORK = tuple(
    Loss(name, f"{says}; see the formats of work and leave")
    for name, says in (
        ("WorkScheduleSet", "scheduled hours"),
        ("HoursWorked", "hours worked"),
        ("LeaveChanged", "leave"),
        ("DisabilityClaimChanged", "disability"),
        ("ReturnToWorkReported", "reported returns to work, and with them what is paid for one"),
        ("EmploymentChanged", "employment"),
    )
)
_TWICE = Loss("", "an event sent twice: files have no event ids, and two equal records of one file are two facts")
_FINAL = Loss("", "corrections: what was voided or replaced is left out, and what is left is an original by itself")
_REASON = Loss("EnrollmentChanged.reason", "why coverage changed")
_ACCOUNT = tuple(
    Loss(f"{kind}ClaimReceived.patient_control_number", "the provider's own number of the claim")
    for kind in ("Professional", "Institutional", "Pharmacy")
)
_FACILITY_TIN = Loss("InstitutionalClaimReceived.billing_tin", "a facility's tax number")

LOST: dict[str, tuple[Loss, ...]] = {
    "ndjson": (),
    "x12": (
        *_HEALTH,
        *_WORK,
        _TWICE,
        Loss("PharmacyClaimReceived", "fills: they are NCPDP's, and with them episodes that a fill opens"),
        Loss("ProfessionalClaimReceived.supplier", "that a claim is a supplier's of equipment"),
        Loss("ProfessionalClaimReceived.lines.rendering_tin", "a tax number by line; the billing provider's stands"),
        Loss("InstitutionalClaimReceived.discharged_on", "the day of discharge"),
        _REASON,
        Loss("", "denied claims and lines: they are left out, and those that are left are numbered from 1"),
        Loss("", "a family of its own: versions are joined by the claim that they name"),
        Loss("", "a void that names no claim: it names the one it takes away; an adjustment is an original by itself"),
        Loss("", "dual status, ESRD, hospice and other payers as coverage"),
        Loss("", "the relationship's own word: it is 18, self"),
    ),
    "cclf": (
        *_HEALTH,
        *_WORK,
        _TWICE,
        *_ACCOUNT,
        _FACILITY_TIN,
        Loss("ProfessionalClaimReceived.lines.charge_cents", "charges of a physician's line"),
        Loss("InstitutionalClaimReceived.lines.charge_cents", "charges of a revenue centre, and which were covered"),
        Loss("InstitutionalClaimReceived.lines.noncovered_cents", "charges that were not covered"),
        Loss("InstitutionalClaimReceived.admitted_on", "the day of admission; the claim's first day stands"),
        Loss("InstitutionalClaimReceived.discharged_on", "the day of discharge"),
        Loss("PharmacyClaimReceived.primary_payer", "that another payer comes first for a fill"),
        Loss("PharmacyClaimReceived.paid_cents", "what the plan paid for a fill"),
        Loss("PharmacyClaimReceived.total_cost_cents", "the total cost of a fill"),
        Loss("PharmacyClaimReceived.above_threshold_cents", "cost above the Part D threshold"),
        _REASON,
        Loss("", "of a supplier's claim: diagnoses, units, tax numbers, and with them what it treats"),
        Loss("", "replacements by name: a cancel of equal amounts and an adjustment stand for one"),
        Loss(
            "", "ends of Parts A and B, Part D, Medicare Advantage, other payers; dual and ESRD but of the file's month"
        ),
        Loss("", "other payers than Medicare"),
    ),
    "fhir": (
        *_HEALTH,
        *_WORK,
        _TWICE,
        _FINAL,
        *_ACCOUNT,
        _FACILITY_TIN,
        Loss("PharmacyClaimReceived.primary_payer", "that another payer comes first for a fill"),
        _REASON,
        Loss("", "dual status, ESRD, hospice and other payers as coverage"),
    ),
    "csv": (
        *_HEALTH,
        *_WORK,
        _TWICE,
        _FINAL,
        *_ACCOUNT,
        Loss("ProfessionalClaimReceived.supplier", "that a claim is a supplier's of equipment"),
        Loss("InstitutionalClaimReceived.lines.noncovered_cents", "charges that were not covered"),
        Loss("PharmacyClaimReceived.member_paid_cents", "what the member paid for a fill"),
        Loss("PharmacyClaimReceived.above_threshold_cents", "cost above the Part D threshold"),
        _REASON,
        Loss("", "denied claims and lines, and claims on which another payer comes first: they are left out"),
        Loss("", "diagnoses of a claim apart from its lines': each line has them all, its own first"),
        Loss("", "Parts A and B one without the other, Part D, Medicare Advantage, hospice, other payers"),
    ),
}
"""What is lost, by format."""

_REWRITES: dict[str, tuple[Callable[[list[Told]], list[Told]], ...]] = {
    "ndjson": (),
    "x12": (by_name, denied_left_out, as_changes),
    "cclf": (as_cancels, as_beneficiaries),
    "fhir": (final, as_coverages),
    "csv": (lambda told: final(told, counted=True), as_spans),
}


def told(lines: Iterable[bytes]) -> list[Told]:
    """Generated CloudEvents as they were told."""
    found = []
    for event in map(orjson.loads, lines):
        data = event["data"]
        person = data.pop("person")
        found.append(Told(event["id"], event["type"].split(".")[1], event.get("plan", ""), person, data))
    return found


def carried(format_: str, facts: list[Told]) -> list[Told]:
    """Of these facts what the format carries, in the same order."""
    if format_ == "ndjson":
        return facts
    seen: set[str] = set()
    gone = {loss.what for loss in LOST[format_]}
    left = []
    for each in facts:
        if each.event_id in seen or each.type in gone:
            continue
        seen.add(each.event_id)
        left.append(replace(each, data=_without(each.type, each.data, gone)))
    for rewrite in _REWRITES[format_]:
        left = rewrite(left)
    return left


def _without(type_: str, data: dict[str, Any], gone: set[str]) -> dict[str, Any]:
    kept = {name: value for name, value in data.items() if f"{type_}.{name}" not in gone}
    if "lines" in kept:
        of_lines = f"{type_}.lines."
        kept["lines"] = [
            {name: value for name, value in line.items() if of_lines + name not in gone} for line in kept["lines"]
        ]
    return kept


def listed() -> str:
    """What each format loses, as the docs have it."""
    pages = []
    for format_ in FORMATS[1:]:
        lines = [f"- {f'`{loss.what}`: ' if loss.what else ''}{loss.says}" for loss in LOST[format_]]
        pages.append(f"## `{format_}`\n\n" + "\n".join(lines))
    return "\n\n".join(pages) + "\n"

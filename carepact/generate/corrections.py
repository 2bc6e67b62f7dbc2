"""Corrections of claims as formats say them: by cancels of equal amounts, by name, or only what is left in the end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from carepact.generate.told import Told
from contracts.claims import survivors
from contracts.evidence import NOT_PRIMARY
from contracts.parts import ClaimRecord, Unit

_NO_REF = (b"", "", 0)


def families(told: list[Told]) -> dict[tuple[str, str], list[int]]:
    """Places of the versions of each claim, in the order in which they came."""
    found: dict[tuple[str, str], list[int]] = {}
    for i, each in enumerate(told):
        if each.is_claim:
            found.setdefault((each.member, each.data["family"]), []).append(i)
    return found


def record_of(each: Told, *, counted: bool = False) -> ClaimRecord:
    """A version as the contract pairs it; `counted` leaves out what a contract does not count."""
    data = each.data
    silent = counted and (data.get("denied", False) or data.get("primary_payer") in NOT_PRIMARY)
    if each.type == "ProfessionalClaimReceived":
        units = [
            Unit(
                line["line"], line["paid_cents"], [], [], counts=not (silent or (counted and line.get("denied", False)))
            )
            for line in data["lines"]
        ]
    else:
        line = 0 if each.type == "InstitutionalClaimReceived" else 1
        units = [Unit(line, data.get("paid_cents", 0), [], [], counts=not silent)]
    return ClaimRecord(
        data["claim_id"], data["action"], data.get("replaces") or "", data["effective_on"], _NO_REF, units
    )


def final(told: list[Told], *, counted: bool = False) -> list[Told]:
    """What is left of each claim in the end, each version that is left as an original by itself."""
    left: dict[int, dict[str, Any]] = {}
    for places in families(told).values():
        taken: set[str] = set()
        records = [record_of(told[i], counted=counted) for i in places]
        units: dict[int, list[int]] = {}
        for record, unit in survivors(records):
            units.setdefault(record, []).append(unit)
        for record, chosen in sorted(units.items()):
            each = told[places[record]]
            name = each.data["claim_id"]
            while name in taken:
                name += "b"
            taken.add(name)
            data = {**each.data, "claim_id": name, "family": name, "action": "original"}
            data.pop("replaces", None)
            if each.type == "ProfessionalClaimReceived":
                data["lines"] = [data["lines"][unit] for unit in chosen]
            left[places[record]] = data
    return [
        replace(each, data=left[i]) if each.is_claim else each
        for i, each in enumerate(told)
        if not each.is_claim or i in left
    ]


def as_cancels(told: list[Told]) -> list[Told]:
    """CMS's way: a replacement is a cancel of what it displaces, amount for amount, and an adjustment beside it."""
    by_id = {(each.member, each.data["claim_id"]): each for each in reversed(told) if each.is_claim}
    found: list[Told] = []
    for each in told:
        data = each.data
        if not each.is_claim or data["action"] not in ("replacement", "void"):
            found.append(each)
            continue
        named = data.get("replaces", "")
        plain = {name: value for name, value in data.items() if name != "replaces"}
        if data["action"] == "void":
            found.append(replace(each, data=plain))
            continue
        target = by_id.get((each.member, named))
        if target is not None:
            cancel = {**target.data, "action": "void", "effective_on": data["effective_on"]}
            found.append(replace(target, event_id=f"{each.event_id}c", data=cancel))
        found.append(replace(each, data={**plain, "action": "adjustment"}))
    return [replace(each, data=_as_cms(each)) if each.is_claim else each for each in found]


def _as_cms(each: Told) -> dict[str, Any]:
    data = {**each.data, "family": natural_key(each)}
    if each.type == "InstitutionalClaimReceived":
        data["facility"] = HOSPITALS[data["setting"]]
    return data


def natural_key(each: Told) -> str:
    """What joins the versions of a claim in CCLF: the control number, or a hospital's number and the claim's days."""
    data = each.data
    if each.type == "InstitutionalClaimReceived":
        return f"{HOSPITALS[data['setting']]}:{data['from_on']}:{data['through_on']}"
    family: str = data["family"]
    return family


def billed(each: Told, frequency: str = "") -> dict[str, Any]:
    """What a claim says, a facility's with the type of bill that names its setting."""
    if each.type != "InstitutionalClaimReceived":
        return each.data
    bill = each.data.get("type_of_bill") or BILLS[each.data["setting"]]
    return {**each.data, "type_of_bill": bill[:2] + (frequency or bill[2])}


FREQUENCIES = {"original": "1", "replacement": "7", "void": "8"}
BILLS = {
    "outpatient": "131", "inpatient": "111", "skilled_nursing": "211", "home_health": "321", "hospice": "811",
    "other": "891",
}  # fmt: skip
HOSPITALS = {
    "outpatient": "420011", "inpatient": "420012", "skilled_nursing": "425013", "home_health": "427014",
    "hospice": "421515", "other": "420016",
}  # fmt: skip
"""CMS's number of who bills, by the setting: in a population it says nothing more."""


def by_name(told: list[Told]) -> list[Told]:
    """Each void names the claim it takes away; an adjustment is an original by itself."""
    changed: dict[int, dict[str, Any]] = {}
    for places in families(told).values():
        named: set[str] = set()
        for i in places:
            data = told[i].data
            if data["action"] == "adjustment":
                changed[i] = {**data, "action": "original"}
            elif data["action"] == "void" and not data.get("replaces"):
                target = next(_targets(told, places, told[i], named), "")
                named.add(target)
                changed[i] = {**data, "replaces": target or data["claim_id"]}
    found = []
    for i, each in enumerate(told):
        if each.is_claim:
            data = changed.get(i, each.data)
            data = billed(replace(each, data=data), FREQUENCIES[data["action"]])
            found.append(replace(each, data={**data, "family": data.get("replaces") or data["claim_id"]}))
        else:
            found.append(each)
    return found


def _targets(told: list[Told], places: list[int], void: Told, named: set[str]) -> Iterator[str]:
    """Claims of the family with the amounts of a void that names none, the earliest first."""
    lines = {unit.line: unit.paid_cents for unit in record_of(void).units}
    for i in sorted(places, key=lambda i: (told[i].data["effective_on"], told[i].data["claim_id"])):
        data = told[i].data
        paid = {unit.line: unit.paid_cents for unit in record_of(told[i]).units}
        if data["action"] != "void" and data["claim_id"] not in named and lines.items() <= paid.items():
            yield data["claim_id"]


def denied_left_out(told: list[Told]) -> list[Told]:
    """Without denied claims and lines; a replacement of which nothing is left is a void."""
    found = []
    for each in told:
        data = each.data
        if not each.is_claim:
            found.append(each)
            continue
        lines = [] if data.get("denied") else [line for line in data.get("lines", []) if not line.get("denied")]
        if data.get("denied") or (not lines and each.type == "ProfessionalClaimReceived"):
            if data["action"] == "replacement":
                found.append(replace(each, data={**_undenied(data, data["lines"]), "action": "void"}))
            continue
        found.append(replace(each, data=_undenied(data, lines)))
    return found


def _undenied(data: dict[str, Any], lines: list[dict[str, Any]]) -> dict[str, Any]:
    kept = {name: value for name, value in data.items() if name != "denied"}
    kept["lines"] = [
        {name: value for name, value in line.items() if name != "denied"} | {"line": i}
        for i, line in enumerate(lines, 1)
    ]
    return kept

"""A payer's facts folded in memory, and what stands in the end: episodes and payments in force."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
import orjson

from carepact.generate.practices import broadcasts
from carepact.generate.told import Told
from contracts.envelope import Fact, broadcast_fact_id
from contracts.events import LOG_FACTS, ContractAdopted, Event, TermsAdopted, stored
from contracts.parts import Adoption, Member
from contracts.roster import bundled_sheet, contract_digest, fold_for
from formats.reading import ReadFact
from streams.codec import struct_of

CONTRACTS = {"medicare": "medicare-eom", "bcbs-sc": "bcbs-sc", "employers": "employer"}

Said = tuple[str, dict[str, Any], str]
"""Type name, stored data, member."""


def of_told(facts: Iterable[Told]) -> list[Said]:
    """Facts as they were told."""
    found = []
    for each in facts:
        model = LOG_FACTS[f"carepact.{each.type}.v1"]
        event = model.model_validate_json(orjson.dumps({**each.data, "person": each.person}))
        found.append(_said(event, each.member))
    return found


def of_read(items: Iterable[Any]) -> list[Said]:
    """Facts as a reader found them. It must find nothing wrong."""
    found = []
    for item in items:
        assert isinstance(item, ReadFact), item
        person = item.event.person  # type: ignore[attr-defined]
        found.append(_said(item.event, person.identifier.value))
    return found


def _said(event: Event, member: str) -> Said:
    data = event.model_dump(mode="json", exclude_defaults=True, exclude={"person", "patient_control_number", "comment"})
    return event.type_name(), data, member


def standing(payer: str, plan: str, facts: Iterable[Said]) -> dict[str, list[Any]]:
    """Episodes of each member with the payments in force, after the log's adoptions and these facts in their order.

    Left out is what rests on the order in which facts became known: episodes that were once thought to be, and for
    which of a month's two services its payment is named.
    """
    contract = CONTRACTS[payer]
    fold = fold_for(contract, payer, Adoption())
    version, digest, content = bundled_sheet(contract)
    opening: list[tuple[str, dict[str, Any]]] = [
        (
            TermsAdopted.type_name(),
            {"contract": contract, "sheet_version": version, "digest": digest, "content": content},
        ),
        (
            ContractAdopted.type_name(),
            {"contract": contract, "digest": contract_digest(contract), "build": "test"},
        ),
    ]
    opening += [(event["type"], event["data"]) for event in map(orjson.loads, broadcasts())]
    offset = 0
    for type_, data in opening:
        fold.adopt(_fact(type_, data, "", plan, offset))
        offset += 1
    members: dict[str, Member] = {}
    for type_, data, name in facts:
        fact = _fact(type_, data, name, plan, offset)
        offset += 1
        member = members.get(name)
        if member is None:
            member = members[name] = Member(payer, 0, name)
            member.since = ""
        fold.needs(fact)
        fold.apply(member, fact)
        member.dirty.clear()
    return {
        name: [_told(each) for _, each in sorted(member.episodes.items()) if each.status != "cancelled"]
        for name, member in members.items()
    }


def _fact(type_: str, data: dict[str, Any], member: str, plan: str, offset: int) -> Fact:
    decoded = msgspec.json.decode(orjson.dumps(data), type=struct_of(stored(LOG_FACTS[type_])))
    name = broadcast_fact_id("test", "test", str(offset))
    return Fact(name, name, type_, member, plan, decoded, "log", 0, offset, 0, "")


def _told(episode: Any) -> dict[str, Any]:
    owed = [(each.kind, each.period, each.amount_cents, each.practice) for each in episode.owed.values()]
    names = (
        "started_on", "ends_on", "cancer_type", "status", "void_reason", "exclusion", "included", "practice", "period",
        "expenditure_cents",
    )  # fmt: skip
    return {name: getattr(episode, name) for name in names} | {"owed": sorted(owed)}

"""One member's facts: each with the day on which the payer learns of it, written as a CloudEvent at once.

Days are ordinals (`date.toordinal`), which add and compare fast; they become ISO text where a fact is written.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import cache
from random import Random
from typing import Any

import orjson

from carepact.generate.codes import Drug
from carepact.generate.people import Invented

Line = dict[str, Any]


@cache
def iso(day: int) -> str:
    """An ordinal day as ISO text."""
    return date.fromordinal(day).isoformat()


@cache
def clock(second: int) -> str:
    """A second of the day as it stands in a UTC date-time."""
    return f"T{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}Z"


@dataclass(slots=True)
class Sent:
    """A claim that was sent: what a later version of it needs."""

    type_: str
    source: str
    data: dict[str, Any]
    known: int
    event_id: str
    line: bytes

    @property
    def day(self) -> int:
        """The first day of service."""
        return date.fromisoformat(self.data.get("from_on") or self.data["filled_on"]).toordinal()


class Story:
    """Collects a member's facts as (day and second learned, running number, bytes)."""

    def __init__(self, rng: Random, payer: str, plan: str, number: int, invented: Invented, first: int) -> None:
        self.rng = rng
        self.payer = payer
        self.plan = plan
        self.number = number
        self.invented = invented
        self.first = first
        self.facts: list[tuple[int, int, bytes]] = []
        self.counts: dict[str, int] = {}
        self.died = 0
        self._person = orjson.Fragment(orjson.dumps(invented.person))
        self._prefix = f"{payer[:1]}{number:06d}"
        self._families = 0
        self._ids = 0

    def add(self, known: int, source: str, type_: str, data: dict[str, Any]) -> tuple[str, bytes]:
        """A fact that becomes known on a day: its id and its bytes."""
        self._ids += 1
        event_id = f"{self._prefix}-{self._ids:05d}"
        second = self.rng.randrange(86_400)
        event: dict[str, Any] = {
            "specversion": "1.0",
            "id": event_id,
            "source": source,
            "type": f"carepact.{type_}.v1",
            "time": iso(known) + clock(second),
        }
        if self.plan:
            event["plan"] = self.plan
        event["data"] = {"person": self._person, **data}
        line = bytes(memoryview(orjson.dumps(event)))  # a copy: orjson's own bytes keep their whole buffer
        self.facts.append((known * 86_400 + second, len(self.facts), line))
        return event_id, line

    def again(self, sent: Sent, known: int) -> None:
        """The same bytes once more: an exact duplicate."""
        self.facts.append((known * 86_400 + self.rng.randrange(86_400), len(self.facts), sent.line))
        self.note("duplicate")

    def note(self, what: str) -> None:
        """Count something that this population was made to show."""
        self.counts[what] = self.counts.get(what, 0) + 1

    # Claims

    def line(self, number: int, day: int, drug: Drug, tin: str, dx: tuple[str, ...], **more: Any) -> Line:
        """A line of a professional claim; allowed is paid / 0.8."""
        code, units, paid = drug
        return {
            "line": number,
            "service_on": iso(day),
            "code": code,
            "diagnoses": dx,
            "units": str(units),
            "charge_cents": paid * 2,
            "allowed_cents": paid * 5 // 4,
            "paid_cents": paid,
            "place_of_service": "11",
            "rendering_tin": tin,
            **more,
        }

    def professional(
        self, day: int, lines: list[Line], tin: str, dx: tuple[str, ...], known: int = 0, **more: Any
    ) -> Sent:
        """A physician's or supplier's claim."""
        data = {"from_on": lines[0]["service_on"], "through_on": lines[-1]["service_on"], "billing_tin": tin}
        return self._claim(
            "ProfessionalClaimReceived", "carrier", day, {**data, "diagnoses": dx, "lines": lines}, known, more
        )

    def outpatient(
        self, day: int, drugs: tuple[Drug, ...], tin: str, dx: tuple[str, ...], known: int = 0, **more: Any
    ) -> Sent:
        """A hospital's outpatient claim: the amount stands on the claim, charges on the lines."""
        lines = [
            {
                "line": i,
                "service_on": iso(day),
                "code": code,
                "revenue_center": "0636",
                "units": str(units),
                "charge_cents": paid * 3,
            }
            for i, (code, units, paid) in enumerate(drugs, 1)
        ]
        return self._facility(
            "outpatient", day, day, sum(d[2] for d in drugs), tin, dx, known, {"lines": lines, **more}
        )

    def inpatient(self, day: int, days: int, paid: int, dx: tuple[str, ...], known: int = 0, **more: Any) -> Sent:
        """A hospital stay."""
        more = {"admitted_on": iso(day), "discharged_on": iso(day + days), "type_of_bill": "111", **more}
        return self._facility("inpatient", day, day + days, paid, "570000990", dx, known, more)

    def hospice(self, day: int, through: int, paid: int, dx: tuple[str, ...]) -> Sent:
        """Days in a hospice."""
        return self._facility("hospice", day, through, paid, "570000660", dx, 0, {"type_of_bill": "811"})

    def _facility(
        self,
        setting: str,
        day: int,
        through: int,
        paid: int,
        tin: str,
        dx: tuple[str, ...],
        known: int,
        more: dict[str, Any],
    ) -> Sent:
        data = {
            "setting": setting,
            "from_on": iso(day),
            "through_on": iso(through),
            "billing_tin": tin,
            "diagnoses": dx,
            "paid_cents": paid,
        }
        return self._claim("InstitutionalClaimReceived", "institutional", day, data, known, more)

    def fill(self, day: int, drug: Drug, known: int = 0, **more: Any) -> Sent:
        """A fill at a pharmacy."""
        ndc, units, cost = drug
        data = {
            "filled_on": iso(day),
            "ndc": ndc,
            "quantity": str(units),
            "days_supply": 30,
            "paid_cents": cost * 9 // 10,
            "total_cost_cents": cost,
            "member_paid_cents": cost - cost * 9 // 10,
            "above_threshold_cents": max(0, cost - 200_000),
        }
        return self._claim(
            "PharmacyClaimReceived", "pharmacy", day, data, known or day + 1 + self.rng.randrange(6), more
        )

    def _claim(self, type_: str, source: str, day: int, body: dict[str, Any], known: int, more: dict[str, Any]) -> Sent:
        if not known:
            known = day + 5 + self.rng.randrange(24)
            if self.rng.random() < 0.03:
                known += 60 + self.rng.randrange(180)
                self.note("late")
        self._families += 1
        family = f"{self._prefix}C{self._families:05d}"
        data = {
            "claim_id": f"{family}-1",
            "family": family,
            "action": "original",
            "effective_on": iso(known - 2),
            "patient_control_number": f"PCN-{self.invented.person['family_name']}",
            **body,
            **more,
        }
        return Sent(type_, source, data, known, *self.add(known, source, type_, data))

    def version(
        self, sent: Sent, known: int, action: str, version: int = 2, named: bool = True, **changes: Any
    ) -> Sent:
        """A later record of the same claim: a replacement, adjustment or void, naming the first unless told not to."""
        data = {
            **sent.data,
            "claim_id": f"{sent.data['family']}-{version}",
            "action": action,
            "effective_on": iso(known - 2),
            **changes,
        }
        if named and action in ("replacement", "void"):
            data["replaces"] = sent.data["claim_id"]
        return Sent(sent.type_, sent.source, data, known, *self.add(known, sent.source, sent.type_, data))

    # Enrollment

    def cover(
        self, known: int, coverage: str, start: int, through: int | None = None, covered: bool = True, code: str = ""
    ) -> None:
        """A fact about one kind of coverage."""
        data: dict[str, Any] = {"coverage": coverage, "from_on": iso(start), "covered": covered}
        if through is not None:
            data["through_on"] = iso(through)
        if code:
            data["code"] = code
        if not covered:
            data["reason"] = "terminated"
        self.add(known, "enrollment", "EnrollmentChanged", data)

    def describe(self, known: int, died: int = 0) -> None:
        """What the open part may know of the person."""
        one = self.invented
        data: dict[str, Any] = {"birth_year": one.birth_year, "sex": one.sex, "state": one.state}
        if died:
            self.died = died
            data["died_on"] = iso(died)
        self.add(known, "enrollment", "MemberDescribed", data)

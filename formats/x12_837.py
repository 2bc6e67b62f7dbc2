"""X12 837: professional (X222) and institutional (X223) claims as submitted, and as adjudicated (X298, X299).

A submitted claim has charges; what is allowed stands in it only when it was repriced (HCP02), what was paid only in the
post-adjudicated guides (SVD02 on a line, AMT*D on an institutional claim, AMT*B6 allowed, DTP*573 the day). In a
submitted claim SVD and AMT*D are other payers' payments and are not read.

Frequency 1 is an original, 7 a replacement, 8 a void, other frequencies of institutional bills are originals.
A submitted claim has no number of the payer yet, and its patient control number (CLM01) is sealed: its id is a digest
of the billing provider and CLM01, and 7 and 8 take the place of what was sent under the same. A post-adjudicated claim
is named by the payer's number (REF*F8 beside the payer), and REF*F8 of the claim names what it takes the place of.
ICD-9 (BK, BF) is translated by the dated table. A patient who is not the subscriber and has no number is named by the
subscriber's, the day of birth and the first name.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from datetime import date
from typing import Any

from pydantic import ValidationError

from contracts.events import ClaimLine, Event, InstitutionalClaimReceived, ProfessionalClaimReceived
from formats.cells import BadCell
from formats.icd9 import MAPPING, translated
from formats.reading import Place, Read, ReadFact
from formats.x12 import SOURCE, Segment, Transaction, refused
from formats.x12_members import Who, cents, day, number

_SETTINGS = {"11": "inpatient", "12": "inpatient", "18": "skilled_nursing", "81": "hospice", "82": "hospice"}
_BY_FACILITY = {"1": "outpatient", "2": "skilled_nursing", "3": "home_health", "7": "outpatient", "8": "outpatient"}
_ACTIONS = {"7": "replacement", "8": "void"}
_OTHER_FIRST = {"12": "A", "13": "B", "43": "G"}
"""SBR05 of a secondary claim: working aged, ESRD, working disabled."""
_HCPCS, _NDC = re.compile(r"[A-Z0-9]{5}"), re.compile(r"[0-9]{11}")
_NPI, _TWO = re.compile(r"[A-Za-z0-9]{1,15}"), re.compile(r"[0-9]{2}")


class _Context:
    """What stands above a claim: provider, subscriber, patient, with the segments that say so."""

    def __init__(self) -> None:
        self.header: list[Segment] = []
        self.levels: dict[str, list[Segment]] = {}
        self.provider_npi = self.provider_tin = ""
        self.subscriber, self.patient = Who(), Who()
        self.payer_order = self.payer_kind = ""
        self.of = ""

    def level(self, segment: Segment) -> None:
        """A new HL: 20 provider, 22 subscriber, 23 patient."""
        code = segment(3)
        if code == "20":
            self.levels = {}
            self.provider_npi = self.provider_tin = ""
        if code in ("20", "22"):
            self.subscriber, self.payer_order, self.payer_kind = Who(), "", ""
            self.levels.pop("22", None)
        self.levels.pop("23", None)
        self.patient, self.of = Who(), ""
        self.levels[code] = []

    def take(self, segment: Segment) -> None:
        """A segment above the claims."""
        match segment.elements[0]:
            case "NM1":
                self.of = segment(1)
                if self.of == "85" and segment(8) == "XX":
                    self.provider_npi = segment(9)
                elif self.of == "IL":
                    self.subscriber.name, self.subscriber.member_id = segment, segment(9)
                elif self.of == "QC":
                    self.patient.name, self.patient.member_id = segment, segment(9)
            case "REF" if self.of == "85" and segment(1) in ("EI", "SY"):
                self.provider_tin = segment(2)
            case "SBR":
                self.payer_order, self.payer_kind = segment(1), segment(5)
            case "N3" | "N4" | "DMG" if self.of in ("IL", "QC"):
                (self.subscriber if self.of == "IL" else self.patient).take(segment)

    def segments(self) -> list[Segment]:
        """Everything above the present claim."""
        return [*self.header, *(segment for level in self.levels.values() for segment in level)]


def read(transaction: Transaction) -> Iterator[Read]:
    """The claims of one transaction set."""
    context = _Context()
    submitted_on: Segment | None = None
    claim: list[Segment] = []
    for segment in transaction.segments():
        name = segment.elements[0]
        if name in ("HL", "CLM", "SE") and claim:
            yield _one(transaction, context, claim, submitted_on)
            claim = []
        if name == "CLM":
            claim = [segment]
        elif claim:
            claim.append(segment)
        elif name == "HL":
            context.level(segment)
            context.levels[segment(3)].append(segment)
        elif context.levels:
            context.take(segment)
            next(reversed(context.levels.values())).append(segment)
        else:
            submitted_on = segment if name == "BHT" else submitted_on
            context.header.append(segment)


def _one(transaction: Transaction, context: _Context, claim: list[Segment], submitted_on: Segment | None) -> Read:
    parsed = _Claim(transaction, context, claim, submitted_on)
    try:
        return parsed.fact()
    except (BadCell, ValidationError) as error:
        return refused(transaction, error, parsed.at, [*context.segments(), *claim])


class _Claim:
    """One CLM with what follows it."""

    def __init__(
        self, transaction: Transaction, context: _Context, segments: list[Segment], submitted_on: Segment | None
    ) -> None:
        self.transaction, self.context, self.submitted_on = transaction, context, submitted_on
        self.post = bool(re.match(r"005010X29[89]", transaction.guide))
        self.institutional = bool(re.match(r"005010X(223|299)", transaction.guide))
        self.at = self.clm = segments[0]
        first_line = next((i for i, s in enumerate(segments) if s.elements[0] == "LX"), len(segments))
        self.head = segments[1:first_line]
        self.rendering = self._npi(self.head)
        self.lines: list[list[Segment]] = []
        for segment in segments[first_line:]:
            if segment.elements[0] == "LX":
                self.lines.append([])
            self.lines[-1].append(segment)

    def fact(self) -> ReadFact:
        """The claim as a fact."""
        clm, context = self.clm, self.context
        if not clm(1):
            raise BadCell("schema", "CLM01", "a claim without its number", "send CLM01")
        place_of = self.transaction.composite(clm(5))
        frequency = place_of[2] if len(place_of) > 2 else ""
        action = _ACTIONS.get(frequency, "original")
        claim, family, replaces = self._names(action)
        sent, old = self._diagnoses()
        lines = [self._line(line, sent, old, place_of[0]) for line in self.lines]
        self.at = clm
        days = sorted(line["service_on"] for line in lines if line["service_on"])
        start, through = self._period(days)
        for line in lines:
            line["service_on"] = line["service_on"] or start
        effective = self._effective(through)
        dependent = context.patient.name is not None and not context.patient.member_id
        who = context.patient if context.patient.name else context.subscriber
        person = who.person(who.member_id or context.subscriber.member_id, dependent=dependent)
        common: dict[str, Any] = {
            "person": person,
            "claim_id": claim,
            "family": family,
            "action": action,
            "replaces": replaces,
            "effective_on": effective,
            "from_on": start,
            "through_on": through,
            "billing_tin": re.sub("[^A-Za-z0-9-]", "", context.provider_tin) or None,
            "billing_npi": context.provider_npi if _NPI.fullmatch(context.provider_npi) else None,
            "primary_payer": None if context.payer_order in ("", "P") else _OTHER_FIRST.get(context.payer_kind),
            "patient_control_number": clm(1),
            "lines": tuple(self._made(line, segments) for line, segments in zip(lines, self.lines, strict=True)),
            **_coded(sent, old=old),
        }
        self.at = clm
        event: Event
        if self.institutional:
            event = InstitutionalClaimReceived.model_validate(common | self._facility(place_of, frequency))
        else:
            event = ProfessionalClaimReceived.model_validate(common)
        kind = "institutional" if self.institutional else "professional"
        key = "|".join((SOURCE, kind, claim, frequency, effective.isoformat()))
        return ReadFact(event, Place(self.transaction.file, clm.number), SOURCE, natural_key=key)

    def _made(self, line: dict[str, Any], segments: list[Segment]) -> ClaimLine:
        self.at = segments[0]
        return ClaimLine(**line)

    def _names(self, action: str) -> tuple[str, str, str | None]:
        """The claim's id, its family, and what it takes the place of."""
        displaced = next((s(2) for s in self.head if s.elements[0] == "REF" and s(1) == "F8"), "")
        if self.post:
            own, seen_payer = "", False
            for segment in self.head:
                seen_payer = segment(1) == "PR" if segment.elements[0] == "NM1" else seen_payer
                if seen_payer and segment.elements[0] == "REF" and segment(1) == "F8":
                    own = segment(2)
            displaced = next(
                (s(2) for s in _until_other_payer(self.head) if s.elements[0] == "REF" and s(1) == "F8"), ""
            )
            if own:
                return own, displaced or own, (displaced or own) if action != "original" else None
        text = f"{self.context.provider_npi or self.context.provider_tin}|{self.clm(1)}"
        claim = hashlib.sha256(text.encode()).hexdigest()[:32]
        return claim, claim, claim if action != "original" else None

    def _diagnoses(self) -> tuple[list[str], bool]:
        """The diagnoses in their order, for lines to point to; and whether they are ICD-9."""
        found, old = list[str](), False
        for segment in self.head:
            if segment.elements[0] == "HI":
                for element in segment.elements[1:]:
                    kind, *code = self.transaction.composite(element)
                    if kind in ("ABK", "ABF", "BK", "BF") and code and code[0]:
                        found.append(code[0].replace(".", ""))
                        old = old or kind in ("BK", "BF")
        return found, old

    def _hi(self, *kinds: str) -> Iterator[str]:
        for segment in self.head:
            if segment.elements[0] == "HI":
                for element in segment.elements[1:]:
                    kind, *code = self.transaction.composite(element)
                    if kind in kinds and code:
                        yield code[0]

    def _dtp(self, segments: list[Segment], *kinds: str, last: bool = False) -> date | None:
        for segment in segments:
            if segment.elements[0] == "DTP" and segment(1) in kinds:
                self.at = segment
                return day(segment, 3, last)
        return None

    def _period(self, days: list[date]) -> tuple[date, date]:
        start, through = self._dtp(self.head, "434"), self._dtp(self.head, "434", last=True)
        self.at = self.clm
        if not self.institutional or start is None or through is None:
            if not days:
                raise BadCell("no_date", "DTP03", "a claim without a day of service", "send DTP*472 or DTP*434")
            start, through = days[0], days[-1]
        return start, through

    def _effective(self, through: date) -> date:
        if self.post:
            everything = [*self.head, *(segment for line in self.lines for segment in line)]
            if decided := self._dtp(everything, "573"):
                return decided
        if self.submitted_on is not None:
            self.at = self.submitted_on
            return day(self.submitted_on, 4) or through
        return through

    def _line(self, segments: list[Segment], sent: list[str], old: bool, place: str) -> dict[str, Any]:
        """A service line; `service_on` may be empty, and is the claim's then."""
        line: dict[str, Any] = {"line": len(self.lines), "service_on": None, "rendering_npi": self.rendering}
        line["line"] = next(i for i, each in enumerate(self.lines, 1) if each is segments)
        of_payer = 0
        for segment in segments:
            self.at = segment
            match segment.elements[0]:
                case "SV1":
                    line |= self._procedure(segment(1))
                    line |= {"charge_cents": cents(segment, 2), "units": number(segment, 4)}
                    where = segment(5) or (place if not self.institutional else "")
                    line["place_of_service"] = where if _TWO.fullmatch(where) else None
                    pointers = self.transaction.composite(segment(7))
                    chosen = [sent[int(p) - 1] for p in pointers if p.isdigit() and 0 < int(p) <= len(sent)]
                    line |= {k: v for k, v in _coded(chosen, old=old).items() if k != "code_mapping"}
                case "SV2":
                    line |= self._procedure(segment(2))
                    revenue = segment(1).zfill(4)
                    line["revenue_center"] = revenue if re.fullmatch("[0-9]{4}", revenue) else None
                    line |= {"charge_cents": cents(segment, 3), "units": number(segment, 5)}
                    line["noncovered_cents"] = cents(segment, 7) or 0
                case "DTP" if segment(1) == "472":
                    line["service_on"] = day(segment, 3)
                case "LIN" if segment(2) == "N4":
                    ndc = segment(3).replace("-", "")
                    line["ndc"] = ndc if _NDC.fullmatch(ndc) else None
                case "HCP":
                    line["allowed_cents"] = cents(segment, 2)
                case "AMT" if self.post and segment(1) == "B6":
                    line["allowed_cents"] = cents(segment, 2)
                case "SVD" if self.post and not self.institutional:
                    of_payer += cents(segment, 2) or 0
                    line["paid_cents"] = of_payer
        line["rendering_npi"] = self._npi(segments) or line["rendering_npi"]
        return line

    def _procedure(self, element: str) -> dict[str, Any]:
        kind, *rest = self.transaction.composite(element)
        if kind != "HC" or not rest:
            return {}
        modifiers = tuple(code for code in rest[1:5] if code)
        return {"code": rest[0] if _HCPCS.fullmatch(rest[0]) else None, "modifiers": modifiers}

    def _npi(self, segments: list[Segment]) -> str | None:
        for segment in segments:
            if segment.elements[0] == "NM1" and segment(1) == "82" and segment(8) == "XX":
                return segment(9) if _NPI.fullmatch(segment(9)) else None
        return None

    def _facility(self, place_of: list[str], frequency: str) -> dict[str, Any]:
        bill = place_of[0] if len(place_of) > 1 and place_of[1] == "A" else ""
        paid = 0
        for segment in self.head if self.post else ():
            if segment.elements[0] == "AMT" and segment(1) == "D":
                self.at = segment
                paid += cents(segment, 2) or 0
        admitted = self._dtp(self.head, "435")
        self.at = self.clm
        whole = bill + frequency
        return {
            "setting": _SETTINGS.get(bill) or _BY_FACILITY.get(bill[:1], "other"),
            "type_of_bill": whole if re.fullmatch("[0-9A-Z]{3}", whole) else None,
            "facility": self.context.provider_npi if _NPI.fullmatch(self.context.provider_npi) else None,
            "admitted_on": admitted,
            "drg": next((code for code in self._hi("DR") if re.fullmatch("[0-9]{3,4}", code)), None),
            "procedures": tuple(c for c in self._hi("BBR", "BBQ", "BR", "BQ") if re.fullmatch("[A-Z0-9]{3,7}", c)),
            "paid_cents": paid,
        }


def _until_other_payer(segments: list[Segment]) -> Iterator[Segment]:
    for segment in segments:
        if segment.elements[0] == "SBR":
            return
        yield segment


def _coded(sent: list[str], *, old: bool) -> dict[str, Any]:
    unique = list(dict.fromkeys(sent))
    if old:
        return {"diagnoses": translated(unique), "source_diagnoses": tuple(unique), "code_mapping": MAPPING}
    return {"diagnoses": tuple(unique)}

"""One claim of an X12 837: the segments from CLM on, with what stands above them, as a fact."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from datetime import date
from functools import lru_cache
from typing import Any

from pydantic import ValidationError

from contracts.events import Event, InstitutionalClaimReceived, ProfessionalClaimReceived
from formats.cells import BadCell
from formats.cms_codes import setting_of_bill
from formats.icd9 import MAPPING, translated
from formats.reading import Place, ReadFact
from formats.x12_levels import Context
from formats.x12_members import cents, day, number
from formats.x12_set import SOURCE, Elements, Finding, Transaction

_ACTIONS = {"7": "replacement", "8": "void"}
_OTHER_FIRST = {"12": "A", "13": "B", "43": "G"}
"""SBR05 of a secondary claim: working aged, ESRD, working disabled."""
_HCPCS, _NDC = re.compile(r"[A-Z0-9]{5}"), re.compile(r"[0-9]{11}")
_NPI, _TWO = re.compile(r"[A-Za-z0-9]{1,15}"), re.compile(r"[0-9]{2}")
_TIN = re.compile(r"[^A-Za-z0-9-]")
_LX = re.compile(r"0*[1-9][0-9]{0,2}")
_FOUR, _BILL, _DRG = re.compile("[0-9]{4}"), re.compile("[0-9A-Z]{3}"), re.compile("[0-9]{3,4}")
_PROCEDURE = re.compile("[A-Z0-9]{3,7}")
_DIAGNOSES = frozenset(("ABK", "ABF", "BK", "BF"))
_POST, _INSTITUTIONAL = re.compile(r"005010X29[89]"), re.compile(r"005010X(223|299)")
_KEYED = ("claim_id", "family", "replaces")


class ClaimRow:
    """One CLM with what follows it. `at` is the segment that is being read."""

    __slots__ = (
        "_beside_payer", "_component", "_context", "_decided", "_facility", "_head", "_in_order", "_institutional",
        "_lines", "_notes", "_old", "_post", "_rendering", "_sent", "_transaction", "at", "first", "segments",
    )  # fmt: skip

    def __init__(self, transaction: Transaction, context: Context, first: int, segments: list[Elements]) -> None:
        self._transaction, self._context = transaction, context
        self.first, self.segments = first, segments
        self.at = 0
        self._component = transaction.component
        self._post = bool(_POST.match(transaction.guide))
        self._institutional = bool(_INSTITUTIONAL.match(transaction.guide))
        self._sent: list[str] = []
        self._in_order, self._notes = True, tuple[str, ...]()
        self._old = self._beside_payer = False
        self._rendering: str | None = None
        self._decided: date | None = None
        self._lines: list[tuple[int, dict[str, Any]]] = []
        self._head: dict[str, Elements] = {}
        """What stands before the lines: SBR, the first NM1*82 and REF*F8, the payer's own F8, DTPs by their kind."""
        self._facility: dict[str, Any] = {"drg": None, "procedures": [], "paid_cents": 0}

    def clean(self) -> None:
        """Refuse a claim with bytes that are no text in it, or above it."""
        for first, segments in [*self._context.runs(), (self.first, self.segments)]:
            if found := self._transaction.spoilt(first, segments):
                self.at = found[0] - self.first
                raise found[1]

    def place_of(self, error: BadCell | ValidationError) -> tuple[int, str]:
        """The number and the name of the segment that is at fault."""
        if isinstance(error, ValidationError):
            loc = error.errors(include_input=False, include_url=False, include_context=False)[0]["loc"]
            if loc[0] == "lines" and len(loc) > 1 and isinstance(loc[1], int):
                self.at = self._next(self._lines[loc[1]][0], "SV1", "SV2")
            elif loc[0] in ("diagnoses", "source_diagnoses", "procedures"):
                self.at = self._next(0, "HI")
            elif loc[0] == "person":
                return self._where("NM1"), "NM1"
        elif self.at == 0 and error.column.startswith(("NM1", "DMG")):
            return self._where(error.column[:3]), error.column[:3]
        at = self.first + self.at
        return at, self.segments[self.at][0] if 0 <= self.at < len(self.segments) else ""

    def _next(self, at: int, *names: str) -> int:
        """The first of these segments from `at` on; `at` itself if there is none."""
        return next((i for i in range(at, len(self.segments)) if self.segments[i][0] in names), at)

    def _where(self, name: str) -> int:
        who = self._context.patient if self._context.patient.name else self._context.subscriber
        return who.numbers.get(name, self.first)

    def days(self) -> tuple[str, str]:
        """The first and last day of service as written, of the claim or else of its lines; '' where there is none."""
        found = [e[3] for e in self.segments if e[0] == "DTP" and e[1] in ("434", "472")]
        texts = sorted(part for each in found for part in each.split("-"))
        return (texts[0][:8], texts[-1][:8]) if texts else ("", "")

    @property
    def trace(self) -> str:
        """REF*D9: the number that who passed the claim on has given it."""
        return next((e[2] for e in self.segments if e[0] == "REF" and e[1] == "D9"), "")

    @property
    def bill(self) -> str:
        """Facility type and frequency of a facility's claim."""
        kind, *rest = self.segments[0][5].split(self._component)
        return kind + (rest[1] if len(rest) > 1 else "") if self._institutional else ""

    def fact(self) -> ReadFact:
        """The claim as a fact."""
        segments, context = self.segments, self._context
        clm = segments[0]
        if not clm[1]:
            raise BadCell("schema", "CLM01", "a claim without its number", "send CLM01")
        place_of = clm[5].split(self._component)
        frequency = place_of[2] if len(place_of) > 2 else ""
        action = _ACTIONS.get(frequency, "original")
        self._read_segments(place_of[0])
        self.at = 0
        claim, family, replaces, keyed = self._names(action)
        lines = [line for _, line in self._lines]
        start, through = self._period(lines)
        for line in lines:
            line["service_on"] = line["service_on"] or start
        effective = self._effective(through)
        made: dict[str, Any] = {
            "person": self._person(),
            "claim_id": claim,
            "family": family,
            "action": action,
            "replaces": replaces,
            "effective_on": effective,
            "from_on": start,
            "through_on": through,
            "billing_tin": _TIN.sub("", context.provider_tin) or None,
            "billing_npi": _npi(context.provider_npi),
            "primary_payer": None if context.payer_order in ("", "P") else _OTHER_FIRST.get(context.payer_kind),
            "patient_control_number": clm[1],
            "lines": tuple(lines),
        }
        made |= _coded(self._sent, self._old)
        self.at = 0
        event: Event
        if self._institutional:
            event = InstitutionalClaimReceived.model_validate(made | self._facility_of(place_of, frequency))
        else:
            event = ProfessionalClaimReceived.model_validate(made)
        kind = "institutional" if self._institutional else "professional"
        return ReadFact(
            event,
            Place(self._transaction.file, self.first),
            SOURCE,
            natural_key=f"{SOURCE}|{kind}|{claim}|{frequency}|{effective.isoformat()}",
            keyed=_KEYED if keyed else (),
            findings=self._findings(),
        )

    def _findings(self) -> tuple[str, ...]:
        transaction = self._transaction
        if not transaction.findings:
            return (*transaction.notes, *self._notes)
        runs = [*self._context.runs(), (self.first, self.segments)]
        return (*transaction.notes_of(*((first, first + len(segments)) for first, segments in runs)), *self._notes)

    def _person(self) -> dict[str, Any]:
        patient, subscriber = self._context.patient, self._context.subscriber
        who = patient if patient.name else subscriber
        if who.person is not None:
            return who.person
        own = patient.name[9] if patient.name else ""
        family = subscriber.name[9] if subscriber.name else ""
        return who.made(own or family, dependent=patient.name is not None and not own)

    def _number_lines(self) -> None:
        """By LX01, where it tells all lines apart; else they keep their places. What is not 1, 2, 3, ... is noted."""
        sent = [self.segments[at][1] for at, _ in self._lines]
        numbers = [int(text) if _LX.fullmatch(text) else 0 for text in sent]
        if numbers != list(range(1, len(numbers) + 1)):
            self._notes = (str(Finding("LX", 1, 0, "order")),)
            if 0 not in numbers and len(set(numbers)) == len(numbers):
                for (_, line), number in zip(self._lines, numbers, strict=True):
                    line["line"] = number

    def _read_segments(self, facility: str) -> None:
        line: dict[str, Any] | None = None
        for at, e in enumerate(self.segments):
            if e[0] == "LX":
                place = len(self._lines) + 1
                line = {"line": place, "service_on": None, "rendering_npi": self._rendering}
                self._lines.append((at, line))
                self._in_order = self._in_order and e[1] == str(place)
            elif line is None:
                if e[0] in _HEAD:
                    self.at = at
                    self._read_head(e)
            elif e[0] in _LINE:
                self.at = at
                self._read_line(e, line, facility)
        if not self._in_order:
            self._number_lines()

    def _read_head(self, e: Elements) -> None:
        name = e[0]
        if name == "HI":
            for element in e[1:]:
                if element:
                    self._read_code(element)
        elif name == "NM1":
            self._beside_payer = e[1] == "PR"
            if e[1] == "82" and e[8] == "XX" and "NM1*82" not in self._head:
                self._head["NM1*82"] = e
                self._rendering = _npi(e[9])
        elif name == "SBR":
            self._head["SBR"] = e
        elif name == "REF":
            if e[1] == "F8":
                if "SBR" not in self._head or not self._post:
                    self._head.setdefault("F8", e)
                if self._beside_payer:
                    self._head["own"] = e
        elif name == "DTP":
            self._head.setdefault(e[1], e)
            if e[1] == "573" and self._post and self._decided is None:
                self._decided = day(e, 3)
        elif name == "AMT" and self._post and e[1] == "D":
            self._facility["paid_cents"] += cents(e, 2) or 0

    def _read_code(self, element: str) -> None:
        kind, code = _code(element, self._component)
        if kind in _DIAGNOSES:
            if code:
                self._sent.append(code)
                self._old = self._old or kind in ("BK", "BF")
        elif kind == "DR":
            if self._facility["drg"] is None and _DRG.fullmatch(code):
                self._facility["drg"] = code
        elif kind in ("BBR", "BBQ", "BR", "BQ") and _PROCEDURE.fullmatch(code):
            self._facility["procedures"].append(code)

    def _read_line(self, e: Elements, line: dict[str, Any], place: str) -> None:
        name = e[0]
        if name == "SV1":
            line["code"], line["modifiers"] = _procedure(e[1], self._component)
            line["charge_cents"] = cents(e, 2)
            line["units"] = number(e, 4)
            where = e[5] or ("" if self._institutional else place)
            line["place_of_service"] = where if _TWO.fullmatch(where) else None
            line |= _pointed(self._sent, self._old, e[7], self._component)
        elif name == "DTP":
            if e[1] == "472":
                line["service_on"] = day(e, 3)
            elif e[1] == "573" and self._post and self._decided is None:
                self._decided = day(e, 3)
        elif name == "SV2":
            line["code"], line["modifiers"] = _procedure(e[2], self._component)
            revenue = e[1].zfill(4)
            line["revenue_center"] = revenue if _FOUR.fullmatch(revenue) else None
            line["charge_cents"] = cents(e, 3)
            line["units"] = number(e, 5)
            line["noncovered_cents"] = cents(e, 7) or 0
        elif name == "LIN":
            if e[2] == "N4":
                ndc = e[3].replace("-", "")
                line["ndc"] = ndc if _NDC.fullmatch(ndc) else None
        elif name == "NM1":
            if e[1] == "82" and e[8] == "XX":
                line["rendering_npi"] = _npi(e[9]) or line["rendering_npi"]
        elif name == "HCP":
            line["allowed_cents"] = cents(e, 2)
        elif self._post:
            if name == "AMT" and e[1] == "B6":
                line["allowed_cents"] = cents(e, 2)
            elif name == "SVD" and not self._institutional:
                line["paid_cents"] = line.get("paid_cents", 0) + (cents(e, 2) or 0)

    def _names(self, action: str) -> tuple[str, str, str | None, bool]:
        """The claim's id, its family, what it takes the place of, and whether these are digests to be keyed."""
        displaced = self._head["F8"][2] if "F8" in self._head else ""
        if self._post and (own := self._head["own"][2] if "own" in self._head else ""):
            return own, displaced or own, (displaced or own) if action != "original" else None, False
        claim = submission_of(self._context.provider_npi or self._context.provider_tin, self.segments[0][1])
        return claim, claim, claim if action != "original" else None, True

    def _period(self, lines: Sequence[dict[str, Any]]) -> tuple[date, date]:
        if self._institutional and (stated := self._head.get("434")):
            self.at = self.segments.index(stated)
            start, through = day(stated, 3), day(stated, 3, last=True)
            self.at = 0
            if start is not None and through is not None:
                return start, through
        days = [line["service_on"] for line in lines if line["service_on"]]
        if not days:
            raise BadCell("no_date", "DTP03", "a claim without a day of service", "send DTP*472 or DTP*434")
        return min(days), max(days)

    def _effective(self, through: date) -> date:
        if self._decided is not None:
            return self._decided
        if self._context.submitted is None:
            return through
        at, bht = self._context.submitted
        self.at = at - self.first
        submitted = day(bht, 4)
        self.at = 0
        return submitted or through

    def _facility_of(self, place_of: list[str], frequency: str) -> dict[str, Any]:
        bill = place_of[0] if len(place_of) > 1 and place_of[1] == "A" else ""
        admitted = None
        if stated := self._head.get("435"):
            self.at = self.segments.index(stated)
            admitted = day(stated, 3)
            self.at = 0
        whole = bill + frequency
        return {
            "setting": setting_of_bill(bill),
            "type_of_bill": whole if _BILL.fullmatch(whole) else None,
            "facility": _npi(self._context.provider_npi),
            "admitted_on": admitted,
            "drg": self._facility["drg"],
            "procedures": tuple(self._facility["procedures"]),
            "paid_cents": self._facility["paid_cents"],
        }


_HEAD = frozenset(("HI", "NM1", "SBR", "REF", "DTP", "AMT"))
_LINE = frozenset(("SV1", "SV2", "DTP", "LIN", "NM1", "HCP", "AMT", "SVD"))


def submission_of(provider: str, account: str) -> str:
    """A digest of what names a claim that a provider submits; the door puts it under the payer's key."""
    return hashlib.sha256(f"{provider}|{account}".encode("utf-8", "surrogateescape")).hexdigest()[:32]


@lru_cache(maxsize=20_000)
def _npi(text: str) -> str | None:
    return text if _NPI.fullmatch(text) else None


@lru_cache(maxsize=20_000)
def _code(element: str, component: str) -> tuple[str, str]:
    kind, *rest = element.split(component)
    return kind, rest[0].replace(".", "") if rest else ""


@lru_cache(maxsize=20_000)
def _procedure(element: str, component: str) -> tuple[str | None, tuple[str, ...]]:
    kind, *rest = element.split(component)
    if kind != "HC" or not rest:
        return None, ()
    return rest[0] if _HCPCS.fullmatch(rest[0]) else None, tuple(code for code in rest[1:5] if code)


def _pointed(sent: list[str], old: bool, pointers: str, component: str) -> dict[str, Any]:
    """The diagnoses that a line points to."""
    chosen = [
        sent[int(p) - 1] for p in pointers.split(component) if p.isdecimal() and len(p) < 4 and 0 < int(p) <= len(sent)
    ]
    if not old:
        return {"diagnoses": tuple(dict.fromkeys(chosen))}
    return {"diagnoses": translated(unique := list(dict.fromkeys(chosen))), "source_diagnoses": tuple(unique)}


def _coded(sent: list[str], old: bool) -> dict[str, Any]:
    if not old:
        return {"diagnoses": tuple(dict.fromkeys(sent))}
    unique = list(dict.fromkeys(sent))
    return {"diagnoses": translated(unique), "source_diagnoses": tuple(unique), "code_mapping": MAPPING}

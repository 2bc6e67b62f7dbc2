"""X12 answers to a sender: TA1 of an interchange, 999 of a functional group, 277CA of the claims of a set.

Made of what was heard while reading (formats/x12_acknowledge.py), with the parties of the received interchange turned
round. What is sent back names nobody but in 277CA, which by its guide repeats patient and provider as they were sent;
the optional copy of a bad element (IK404) is never sent. Texts are cut to their guide's length, signs that separate
and characters outside of ASCII are replaced.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal, InvalidOperation

from formats.x12_set import Elements

CLAIMS_ACKNOWLEDGED, ACKNOWLEDGED = "005010X214", "005010X231A1"
NO_DAY, UNKNOWN = "19000101", "UNKNOWN"
"""Of a claim in whose answer a day and a member number must stand, and which had none."""
_SIGNS = re.compile(r"[^ -~]|[*:~^]")
_NUMBER = 4
"""The least length of ST02."""
_MOST_SEGMENTS = 1_000
"""IK3 of one set."""
_ELEMENT = re.compile(r"([A-Z][A-Z0-9]{1,2})([0-9]{2})(?:-([0-9]{1,2}))?")
_SEGMENT = re.compile(r"[A-Z][A-Z0-9]{1,2}")
QUALIFIERS = frozenset(("01", "14", "20", "27", "28", "29", "30", "33", "ZZ"))
"""ISA05 and ISA07."""
_GROUPS = frozenset(("BE", "HB", "HC", "HI", "HN", "HP", "HR", "HS", "RA"))
_SETS = frozenset(("270", "271", "276", "277", "278", "820", "834", "835", "837"))
"""GS01 and ST01 that 999 can name."""
_SEGMENT_CODES = frozenset(("1", "2", "3", "4", "5", "6", "7", "8", "I4", "I6", "I7", "I8", "I9"))
_ELEMENT_CODES = frozenset(
    ("1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "12", "13", "I10", "I11", "I12", "I13", "I6", "I9")
)
_ELEMENT_WRONG = {"not_a_date": "8", "no_member_identifier": "1", "not_money": "6", "unreadable": "6"}
_STATUS = {
    "no_member_identifier": "A6:164:IL", "no_date": "A6:187", "not_a_date": "A7:187", "not_money": "A7:178",
    "schema": "A7:684", "unreadable": "A7:684", "unknown_plan": "A3:116", "other_plan": "A3:116",
    "unknown_payer": "A3:116",
}  # fmt: skip
"""STC01 of a refused claim: category (code source 507) and status (508). 684: see the 999."""
_BIRTH_DATE, _REFUSED = "A7:158:QC", "A3:21"


@dataclass(frozen=True, slots=True)
class Wrong:
    """What is wrong with a segment: its number in its set (ST is 1), its name, element, component and code of 999."""

    segment: int
    name: str
    element: int = 0
    component: int = 0
    code: str = "8"


@dataclass(slots=True)
class AnsweredSet:
    """A transaction set as 999 answers it."""

    start: Elements
    code: str = ""
    taken: int = 0
    wrong: list[Wrong] = field(default_factory=list)

    @property
    def status(self) -> str:
        """IK501. What of a set of claims is refused claim by claim is told by 277CA; other sets have no such answer."""
        if self.code or (self.wrong and not self.taken and self.start[1] != "837"):
            return "R"
        return "E" if self.codes else "A"

    @property
    def codes(self) -> list[str]:
        """IK502 and those after it: why all of it is refused, else rows in error; and a control number that is none."""
        found = [self.code] if self.code else ["5"] if self.wrong else []
        return found if len(_text(self.start[2], 9)) >= _NUMBER else [*found, "7"]


@dataclass(frozen=True, slots=True)
class AnsweredClaim:
    """A claim as 277CA answers it; `status` is STC01 of one that is refused."""

    account: str
    charge: str
    start: str
    through: str
    patient: tuple[str, str, str, str]
    provider: tuple[str, str, str, str, str]
    trace: str
    bill: str
    status: str = ""


@dataclass(frozen=True, slots=True)
class Answering:
    """When an answer is made, and by which number it is known."""

    made_at: datetime
    control: int

    @property
    def day(self) -> str:
        """CCYYMMDD."""
        return f"{self.made_at:%Y%m%d}"


def refused_at(reject_code: str, place: str, segment: int) -> Wrong:
    """What 999 says of a refused row: `place` is that of the reject, as in CLM05 or SV1/units."""
    if found := _ELEMENT.fullmatch(place):
        name, element, component = found[1], int(found[2]), int(found[3] or 0)
        if reject_code == "no_date":
            return Wrong(segment, name, code="3")
        return Wrong(segment, name, element, component, _ELEMENT_WRONG.get(reject_code, "7"))
    named = _SEGMENT.match(place)
    code = "3" if reject_code == "no_member_identifier" else "8"
    return Wrong(segment, named[0] if named else "ST", code=code)


def status_of(reject_code: str, place: str) -> str:
    """STC01 of a refused claim."""
    if reject_code == "not_a_date" and place.startswith("DMG"):
        return _BIRTH_DATE
    return _STATUS.get(reject_code, _REFUSED)


def enveloped(
    isa: Elements, answering: Answering, group: tuple[str, str, Elements] | None, body: Iterable[bytes]
) -> Iterator[bytes]:
    """An interchange back to the sender of `isa`: with one group (GS01, GS08, the received GS), or with TA1 alone."""
    control, made = f"{answering.control % 10**9:09}", answering.made_at
    yield _segment(
        "ISA", "00", " " * 10, "00", " " * 10, _qualifier(isa[7]), _wide(isa[8]), _qualifier(isa[5]), _wide(isa[6]),
        f"{made:%y%m%d}", f"{made:%H%M}", "^", "00501", control, "0", isa[15] if isa[15] in ("P", "T") else "P",
    )[:-2] + b"*:~\n"  # fmt: skip
    sets = 0
    if group is not None:
        kind, guide, gs = group
        number = str(int(control) or 1)
        sender, receiver = _code(gs[3], isa[8]), _code(gs[2], isa[6])
        yield _segment("GS", kind, sender, receiver, answering.day, f"{made:%H%M}", number, "X", guide)
    for text in body:
        sets += text.startswith(b"ST*")
        yield text
    if group is not None:
        yield _segment("GE", str(sets), number)
    yield _segment("IEA", "0" if group is None else "1", control)


def answerable(gs: Elements) -> bool:
    """Whether 999 can name a group; if not, TA1 says that the interchange has a GS that is none."""
    number = gs[6].strip()
    return gs[1] in _GROUPS and number.isdecimal() and 0 < len(number) < 10 and bool(_text(gs[8], 12))


def ta1(isa: Elements, code: str) -> bytes:
    """TA1. An interchange that breaks off is refused, so that it is sent again: what was taken is a duplicate then."""
    status = {"": "A", "022": "R", "023": "R"}.get(code, "E")
    return _segment("TA1", _text(isa[13], 9), _text(isa[9], 6), _text(isa[10], 4), status, code or "000")


def functional(gs: Elements, sets: list[AnsweredSet], counted: str, code: str, number: int) -> Iterator[bytes]:
    """One 999 (ST to SE) for a group: each set accepted, accepted with errors, or refused, and where."""
    body = [_segment("AK1", _text(gs[1], 2), _text(gs[6], 9), _text(gs[8], 12))]
    for each in sets:
        start, number_ = each.start, _text(each.start[2], 9)
        if start[1] not in _SETS:
            continue
        guide = start[3] if len(start) > 3 else gs[8]
        body.append(_segment("AK2", start[1], number_.rjust(_NUMBER, "0"), _text(guide, 12)))
        body += _errors(each.wrong)
        body.append(_segment("IK5", each.status, *each.codes))
    statuses = [each.status for each in sets]
    accepted = sum(status != "R" for status in statuses)
    if not accepted:
        status = "R"
    elif accepted < len(sets):
        status = "P"
    else:
        status = "E" if code or "E" in statuses else "A"
    included = counted if counted.isdecimal() and len(counted) <= 6 else str(len(sets))
    body.append(_segment("AK9", status, included, str(len(sets)), str(accepted), *([code] if code else [])))
    yield from _set("999", ACKNOWLEDGED, number, body)


def _errors(wrong: list[Wrong]) -> Iterator[bytes]:
    """IK3 and IK4, in the order of the segments."""
    told: tuple[int, str, str] | None = None
    kept = sorted(set(wrong), key=lambda w: (w.segment, w.name, w.element, w.component, w.code))
    for each in kept[:_MOST_SEGMENTS]:
        code = "8" if each.element else each.code
        if code not in _SEGMENT_CODES or (each.element and each.code not in _ELEMENT_CODES):
            continue
        if told != (here := (each.segment, each.name, code)):
            yield _segment("IK3", each.name, str(each.segment), "", code)
            told = here
        if each.element:
            position = f"{each.element}:{each.component}" if each.component else str(each.element)
            yield _segment("IK4", position, "", each.code)


def claims(
    reference: str, submitter: tuple[str, str, str], receiver: tuple[str, str], told: list[AnsweredClaim],
    answering: Answering, number: int,
) -> Iterator[bytes]:  # fmt: skip
    """One 277CA (ST to SE) for a set of claims: each accepted into adjudication, or refused with its status."""
    day = answering.day
    trace = f"{answering.control % 10**9}{number:04}"
    body = [
        _segment("BHT", "0085", "08", trace, day, f"{answering.made_at:%H%M}", "TH"),
        _segment("HL", "1", "", "20", "1"),
        _segment("NM1", "PR", "2", _text(receiver[0], 60) or "?", "", "", "", "", "PI", _id(receiver[1])),
        _segment("TRN", "1", trace),
        _segment("DTP", "050", "D8", day),
        _segment("DTP", "009", "D8", day),
        _segment("HL", "2", "1", "21", "1"),
        _segment(
            "NM1", "41", submitter[0] if submitter[0] in ("1", "2") else "2", _text(submitter[1], 60) or "?",
            "", "", "", "", "46", _id(submitter[2]),
        ),
        _segment("TRN", "2", _text(reference, 50) or "0"),
        *_totals("A1:19:PR", told, day, "90", "AA"),
    ]  # fmt: skip
    level = 2
    for provider, theirs in _by_provider(told):
        level += 1
        above = level
        body += [
            _segment("HL", str(level), "2", "19", "1"),
            _named("85", provider[0] if provider[0] in ("1", "2") else "2", provider[1], provider[2], _npi(provider)),
            _segment("TRN", "1", "0"),
            *_totals("A1:19:PR", theirs, "", "QA", "QC"),
        ]
        for claim in theirs:
            level += 1
            body += _claim(claim, level, above, day)
    yield from _set("277", CLAIMS_ACKNOWLEDGED, number, body)


def _claim(claim: AnsweredClaim, level: int, above: int, day: str) -> Iterator[bytes]:
    family, given, kind, value = claim.patient
    status, action = (claim.status, "U") if claim.status else ("A2:20", "WQ")
    yield _segment("HL", str(level), str(above), "PT")
    yield _named("QC", "1", family, given, (kind if kind in ("MI", "II") else "MI", value))
    yield _segment("TRN", "2", _text(claim.account, 50) or "0")
    yield _segment("STC", status, day, action, _money(_amount(claim.charge)))
    for kind_of, text in (("D9", _text(claim.trace, 50)), ("BLT", _text(claim.bill, 50))):
        if text:
            yield _segment("REF", kind_of, text)
    days = [each for each in (claim.start, claim.through) if _is_day(each)] or [NO_DAY]
    if len(set(days)) > 1:
        yield _segment("DTP", "472", "RD8", "-".join(days))
    else:
        yield _segment("DTP", "472", "D8", days[0])


def _totals(status: str, told: list[AnsweredClaim], day: str, accepted: str, refused: str) -> Iterator[bytes]:
    good = [_amount(claim.charge) for claim in told if not claim.status]
    bad = [_amount(claim.charge) for claim in told if claim.status]
    yield _segment("STC", status, day, "WQ", _money(sum(good) + sum(bad)))
    for kind, amounts in ((accepted, good), (refused, bad)):
        if amounts:
            yield _segment("QTY", kind, str(len(amounts)))
    for kind, amounts in (("YU", good), ("YY", bad)):
        if amounts:
            yield _segment("AMT", kind, _money(sum(amounts)))


def _by_provider(told: list[AnsweredClaim]) -> Iterator[tuple[tuple[str, ...], list[AnsweredClaim]]]:
    found: dict[tuple[str, ...], list[AnsweredClaim]] = {}
    for claim in told:
        found.setdefault(claim.provider, []).append(claim)
    yield from found.items()


def _named(what: str, kind: str, family: str, given: str, numbered: tuple[str, str]) -> bytes:
    first = _text(given, 35) if kind == "1" else ""
    return _segment("NM1", what, kind, _text(family, 60) or "?", first, "", "", "", numbered[0], _id(numbered[1]))


def _set(kind: str, guide: str, number: int, body: list[bytes]) -> Iterator[bytes]:
    control = f"{number:04}"
    yield _segment("ST", kind, control, guide)
    yield from body
    yield _segment("SE", str(len(body) + 2), control)


def _segment(*elements: str) -> bytes:
    return ("*".join(elements).rstrip("*") + "~\n").encode("ascii", "replace")


def _text(text: str, most: int) -> str:
    return _SIGNS.sub(" ", text).strip()[:most].strip()


def _npi(provider: tuple[str, ...]) -> tuple[str, str]:
    return provider[3] if provider[3] == "XX" else "FI", provider[4]


def _is_day(text: str) -> bool:
    try:
        return len(text) == len(NO_DAY) and text.isdecimal() and date.fromisoformat(text).year >= 1
    except ValueError:
        return False


def _code(text: str, instead: str) -> str:
    """GS02 and GS03 have two to fifteen characters; what is shorter is known by the interchange's own name for it."""
    return next((each for each in (_text(text, 15), _text(instead, 15)) if len(each) > 1), "??")


def _wide(text: str) -> str:
    return f"{_SIGNS.sub(' ', text):15.15}"


def _qualifier(text: str) -> str:
    return text if text in QUALIFIERS else "ZZ"


def _id(text: str) -> str:
    """A number of at least two characters, as NM109 is."""
    found = _text(text, 80)
    return found if len(found) > 1 else UNKNOWN


def _amount(text: str) -> Decimal:
    try:
        found = Decimal(text)
    except InvalidOperation:
        return Decimal(0)
    return found.quantize(Decimal("0.01")) if found.is_finite() and abs(found) < 10**10 else Decimal(0)


def _money(amount: Decimal | int) -> str:
    return f"{amount:.2f}".rstrip("0").rstrip(".") if amount else "0"

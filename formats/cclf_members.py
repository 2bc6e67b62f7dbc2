"""CCLF8 and CCLF9: who the members are, what they are covered by, and under which identifiers they were known.

Beneficiaries carry no end of Parts A and B and no Medicare Advantage; months of it must come from another source.
Dual status and ESRD are said of the month that the file's name gives (`.D240801.`), and without one are not said.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import date

from pydantic import ValidationError

from contracts.events import EnrollmentChanged, MemberDescribed, Person
from contracts.events.base import Identifier
from formats.cclf_layout import Line, day, fact, known, name, refused, text, words
from formats.cells import BadCell
from formats.cms_codes import ESRD, SEX
from formats.reading import Read
from formats.spill import Kept
from formats.states import LETTERS

_MONTH = re.compile(r"\.D([0-9]{2})([0-9]{2})[0-9]{2}\.")
_TWO = re.compile(r"[0-9]{2}")
_described, _enrolled = (model.__pydantic_validator__.validate_python for model in (MemberDescribed, EnrollmentChanged))


def former(records: list[Kept], present: dict[str, str]) -> Iterator[Read]:
    """Former identifiers, to be replaced everywhere by the newest of their chain."""
    lines = [Line.of(record, {}) for record in records]
    sent: dict[str, str] = {}
    for line in lines:
        kind, new, old, _ = map(text, line.cut())
        if new and old and new != old and kind == "M":
            sent[old] = new
    present |= _newest(sent)
    before: dict[str, list[str]] = {}
    for old, newest in present.items():
        before.setdefault(newest, []).append(old)
    for line in lines:
        _, new, _, since = map(text, line.cut())
        if not new:
            error = BadCell("no_member_identifier", "CRNT_NUM", "a record without a member identifier", "send the MBI")
            yield refused(line, error)
            continue
        try:
            person = known(newest := present.get(new, new))
        except ValidationError as error:
            yield refused(line, error, column="CRNT_NUM")
        else:
            formerly = tuple(_identifiers(old for old in before.pop(newest, ()) if old != newest))
            yield fact(MemberDescribed(person=person), line, "xref", since, formerly=formerly)


def _identifiers(sent: Iterable[str]) -> Iterator[Identifier]:
    """Those that are identifiers: of the others there are no facts."""
    for each in sent:
        with suppress(ValidationError):
            yield known(each).identifier


def _newest(sent: dict[str, str]) -> dict[str, str]:
    """The end of the chain of each former identifier; of a ring, one of its members."""
    found: dict[str, str] = {}
    for old in sent:
        path: dict[str, None] = {}
        at = old
        while at in sent and at not in found and at not in path:
            path[at] = None
            at = sent[at]
        newest = found.get(at, at)
        found |= dict.fromkeys(path, newest)
    return found


def beneficiary(line: Line) -> Iterator[Read]:
    """A description, and what coverage the record speaks of."""
    (mbi, zip_code, born_, sex, status, dual, died, hospice_from, hospice_through, given, family, bought_, part_a,
     part_b, street, state_, zip5) = line.cut()  # fmt: skip
    born, bought, state = day(born_, "BENE_DOB"), words[bought_], words[state_]
    person = Person(
        identifier=line.person(mbi).identifier,
        family_name=name(family),
        given_name=name(given),
        birth_date=born,
        address=name(street),
        postal_code=text(zip5) or text(zip_code) or None,
    )
    described = _described(
        {
            "person": person,
            "birth_year": born.year if born else None,
            "sex": SEX.get(words[sex]),
            "state": state if state in LETTERS else None,
            "died_on": day(died, "BENE_DEATH_DT"),
        }
    )
    who = person.identifier.value
    yield fact(described, line, "described", who)
    spans: list[tuple[str, str, date | None, date | None]] = [
        ("part_a", "", day(part_a, "BENE_PART_A_ENRLMT_BGN_DT") if bought not in ("0", "2", "B") else None, None),
        ("part_b", "", day(part_b, "BENE_PART_B_ENRLMT_BGN_DT") if bought not in ("0", "1", "A") else None, None),
        ("hospice", "", day(hospice_from, "BENE_RNG_BGN_DT"), day(hospice_through, "BENE_RNG_END_DT")),
        *_of_month(line, words[status], words[dual]),
    ]
    for coverage, said, start, through in spans:
        if start is not None:
            event = _enrolled(
                {"person": person, "coverage": coverage, "from_on": start, "through_on": through, "code": said or None}
            )
            yield fact(event, line, coverage, who, start.isoformat(), rows=0)


def _of_month(line: Line, status: str, dual: str) -> Iterator[tuple[str, str, date | None, date | None]]:
    """Dual status and ESRD, which are said of the month in the file's name."""
    month = _MONTH.search(line.file)
    if month and 1 <= int(month[2]) <= 12:
        year, number = 2000 + int(month[1]), int(month[2])
        start, through = date(year, number, 1), date(year, number, monthrange(year, number)[1])
        if _TWO.fullmatch(dual) and dual not in ("00", "99"):
            yield "dual", dual, start, through
        if status in ESRD:
            yield "esrd", "", start, through

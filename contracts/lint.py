"""What is wrong with a term sheet, all of it at once: file, term, day, problem, and what to do about it.

A sheet is read as it is written, so that one that no contract would take is still told everything. Checked: its head;
each term's label, unit, day, source and status; its values' order, gaps, overlaps and sizes; what every sheet must say;
terms that no clause reads, and terms that a clause reads and the sheet lacks.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from functools import cache
from importlib.resources import files
from itertools import pairwise
from typing import Any

from contracts.reads import STATED, STATEMENTS, terms_known, terms_needed
from contracts.roster import SHEETS
from contracts.terms import STATUSES, read_sheet, whole

HEAD = ("contract", "title", "version", "rounding", "value_sets", "extends")
NEEDED = ("label", "unit", "dated_by", "source", "status", "values")
VALUE_KEYS = ("from", "value", "status")
ROUNDINGS = ("half_up", "half_even")
NUMERIC = ("fraction", "USD", "factor", "days", "months", "weeks", "payments", "calendar months", "people", "episodes")
DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong, where it is ('' where no term or day is meant), and the remedy."""

    file: str
    term: str
    day: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        place = " ".join(filter(None, (f"{self.file}:", self.term, self.day)))
        return f"{place} {self.problem}; {self.remedy}"

    def document(self) -> dict[str, str]:
        """The problem as JSON shows it."""
        return asdict(self)


def lint(file: str, text: str) -> list[Problem]:
    """Every problem of a sheet, in the order in which it is written."""
    try:
        own = read_sheet(text)
    except tomllib.TOMLDecodeError as error:
        return [Problem(file, "", "", f"is not TOML: {error}", "correct it there")]
    if _extends(own) not in ("", *SHEETS.values()):
        remedy = f"extend one of {', '.join(SHEETS.values())}"
        return [Problem(file, "sheet", "", "extends no sheet of this build", remedy)]
    content = whole(own)
    found = [*_head(content.get("sheet"))]
    terms = {name: term for name, term in content.items() if name != "sheet"}
    first = _first_day(terms)
    for name, term in terms.items():
        if name in own:
            found += [(name, *rest) for rest in _term(name, term, first)]
    found += _calendar(terms)
    found += _statements(terms)
    head = content.get("sheet")
    if isinstance(head, dict) and head.get("contract") in SHEETS:
        found += _clauses(str(head["contract"]), terms)
    return [Problem(file, *rest) for rest in found]


def _extends(content: dict[str, Any]) -> str:
    head = content.get("sheet")
    return str(head.get("extends", "")) if isinstance(head, dict) else ""


Said = tuple[str, str, str, str]
OfTerm = tuple[str, str, str]


def _head(head: Any) -> Iterator[Said]:
    if not isinstance(head, dict):
        yield "sheet", "", "the sheet has no head", "add [sheet] with contract, title, version and rounding"
        return
    for key in HEAD[:4]:
        if not isinstance(head.get(key), str) or not head[key].strip():
            yield "sheet", "", f"has no {key}", f"add {key}, as text"
    for key in head.keys() - set(HEAD):
        yield "sheet", "", f"has an unknown key '{key}'", f"keep to {', '.join(HEAD)}"
    if isinstance(head.get("contract"), str) and head["contract"] not in SHEETS:
        yield "sheet", "", "names no contract of this build", f"name one of {', '.join(SHEETS)}"
    if isinstance(head.get("rounding"), str) and head["rounding"] not in ROUNDINGS:
        yield "sheet", "", "has an unknown rounding", f"choose {' or '.join(ROUNDINGS)}"
    sets = head.get("value_sets")
    if not isinstance(sets, dict):
        yield "sheet", "", "has no value_sets", "add [sheet.value_sets], empty when the contract has no code lists"
        return
    for name, spec in sets.items():
        named = spec.get("file", "") if isinstance(spec, dict) else ""
        if not named or not files("contracts").joinpath("value_sets", f"{named}.csv").is_file():
            yield "sheet", "", f"value set '{name}' names no file of contracts/value_sets", "name one, without '.csv'"
        elif not all(value_set_sources().get(named, {}).get(key) for key in ("source", "dated")):
            yield "sheet", "", f"value set '{name}' has no source and date", f"add [{named}] to value_sets/sources.toml"


@cache
def value_set_sources() -> dict[str, Any]:
    """What is said of each file of value sets: its source, the day it is of, its standing."""
    return tomllib.loads(files("contracts").joinpath("value_sets", "sources.toml").read_text(encoding="utf-8"))


def _first_day(terms: dict[str, Any]) -> date | None:
    """The contract's first day: every term must have a value from then on."""
    term = terms.get("initiation_first_on")
    values = term.get("values") if isinstance(term, dict) else None
    days = [v.get("value") for v in values if isinstance(v, dict)] if isinstance(values, list) else []
    return min((day for day in days if type(day) is date), default=None)


def _term(name: str, term: Any, first: date | None) -> Iterator[OfTerm]:
    if not isinstance(term, dict):
        yield "", "is not a term", "write it as a table with label, unit, dated_by, source, status and values"
        return
    for key in NEEDED:
        if not term.get(key) or (key != "values" and not str(term[key]).strip()):
            yield _begins(term), f"has no {key}", f"add {key}"
    for key in term.keys() - set(NEEDED):
        yield "", f"has an unknown key '{key}'", f"keep to {', '.join(NEEDED)}"
    if term.get("status") and term["status"] not in STATUSES:
        yield "", "has an unknown status", f"choose {', '.join(STATUSES)}"
    values = term.get("values")
    if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
        if values:
            yield "", "has values that are no list of tables", "write values = [{ from = 2025-01-01, value = 70.00 }]"
        return
    for value in values:
        yield from _value(name, str(term.get("unit", "")), value)
    yield from _order([value for value in values if type(value.get("from")) is date], first)


def _begins(term: dict[str, Any]) -> str:
    """The day from which a term has a value; '' where none can be read."""
    values = term.get("values")
    days = (
        [_written(value.get("from")) for value in values if isinstance(value, dict)] if isinstance(values, list) else []
    )
    return min(filter(None, days), default="")


def _value(name: str, unit: str, value: dict[str, Any]) -> Iterator[OfTerm]:
    day = _written(value.get("from"))
    if type(value.get("from")) is not date:
        yield "", "has a value without a first day", "add from = YYYY-MM-DD, without quotes"
    if "value" not in value or value["value"] == "":
        yield day, "has a day without a value", "add value"
        return
    for key in value.keys() - set(VALUE_KEYS):
        yield day, f"has an unknown key '{key}' in a value", "drop it; a value holds until the next begins"
    if value.get("status", STATUSES[0]) not in STATUSES:
        yield day, "has an unknown status", f"choose {', '.join(STATUSES)}"
    number = _number(value["value"])
    if number is None:
        if unit.startswith(NUMERIC):
            yield day, f"is not a number of {unit}", "write a finite number, without quotes"
        return
    if number < 0:
        yield day, f"is negative ({unit})", "write a number of 0 or more; who pays whom is the clause's"
    if unit.startswith("fraction") and number > 1 and "threshold" not in name:
        yield day, "is a fraction above 1", "write 4 per cent as 0.04"


def _number(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | Decimal | str):
        return None
    try:
        number = Decimal(value)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _order(values: list[dict[str, Any]], first: date | None) -> Iterator[OfTerm]:
    """Gaps and overlaps: a value holds until the next begins, or through the day it names."""
    days = [value["from"] for value in values]
    if days and first is not None and min(days) > first:
        yield (
            first.isoformat(),
            f"has a gap: no value from {first} through {min(days) - DAY}",
            "give it a value from the contract's first day on",
        )
    for value, after in pairwise(values):
        day, through = after["from"], _through(value)
        if day == value["from"]:
            yield day.isoformat(), "overlaps: two values begin on one day", "keep one of them"
        elif day < value["from"]:
            yield day.isoformat(), "overlaps: values are out of order", "sort them by 'from'"
        elif through is not None and day <= through:
            yield day.isoformat(), f"overlaps: the value before holds through {through}", "let it end the day before"
        elif through is not None and day > through + DAY:
            yield (through + DAY).isoformat(), f"has a gap: no value through {day - DAY}", "close it"


def _through(value: dict[str, Any]) -> date | None:
    return next((value[key] for key in ("through", "to", "until") if type(value.get(key)) is date), None)


def _calendar(terms: dict[str, Any]) -> Iterator[Said]:
    first, last = _first_day(terms), _first_day({"initiation_first_on": terms.get("initiation_last_on")})
    if first is not None and last is not None and last < first:
        yield "initiation_last_on", last.isoformat(), f"is before the first day, {first}", "correct one of them"


def _statements(terms: dict[str, Any]) -> Iterator[Said]:
    for what, (names, says) in STATEMENTS.items():
        if not any(name in terms for name in names):
            yield " or ".join(names), "", f"{what} is left out: the sheet does not say {says}", f"add [{names[0]}]"


def _clauses(contract: str, terms: dict[str, Any]) -> Iterator[Said]:
    known = terms_known(contract)
    for name in terms:
        if name not in known:
            elsewhere = any(name in terms_needed(other) for other in SHEETS)
            problem = f"is not used: no clause of {contract} reads it" if elsewhere else "is an unknown term"
            yield name, "", problem, "drop it, or correct its name"
    for name in sorted(terms_needed(contract) - terms.keys() - STATED):
        yield name, "", f"is lacking: a clause of {contract} reads it", f"add [{name}]"


def _written(day: Any) -> str:
    return day.isoformat() if isinstance(day, date) and not isinstance(day, datetime) else ""

"""Duties to keep: until when nobody may be erased, by which rule (outcome rules E.6).

Erasure is refused while a duty runs, since money was paid on what is known of the person, and who audits it may ask.
`on` is the first day on which a duty does not run any more.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from contracts.errors import BadSheet
from contracts.terms import STATUSES

SHEET = "retention.toml"
AFTER = ("agreement", "last_service", "plan_year_filed")
FILED_MONTH, FILED_DAY = 10, 15


@dataclass(frozen=True, slots=True)
class Running:
    """A duty that runs for somebody: through the day before `ends_on`."""

    duty: str
    label: str
    ends_on: date
    source: str
    status: str

    def as_document(self) -> dict[str, Any]:
        """As commands print it."""
        return {
            "duty": self.duty, "label": self.label, "ends_on": self.ends_on.isoformat(), "source": self.source,
            "status": self.status,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Duty:
    name: str
    label: str
    contracts: tuple[str, ...]
    after: str
    source: str
    status: str
    years: tuple[tuple[date, int], ...]
    agreement_ends_on: date | None = None

    def ends_on(self, last_service_on: date) -> date | None:
        """The first day without it, for somebody whose last service is of a day; None where it never began."""
        years = [years for start, years in self.years if start <= last_service_on]
        if not years:
            return None
        begins = last_service_on
        if self.after == "agreement":
            assert self.agreement_ends_on is not None, "it was checked"
            begins = max(self.agreement_ends_on, last_service_on)
        elif self.after == "plan_year_filed":
            begins = date(last_service_on.year + 1, FILED_MONTH, FILED_DAY)
        return _later(begins, years[-1])


class Retention:
    """The duties of all contracts."""

    def __init__(self, content: Mapping[str, Any]) -> None:
        self._duties = [_duty(name, told) for name, told in content.items()]

    @classmethod
    def read(cls, path: Path) -> Retention:
        """From a file. `contracts.errors.BadSheet` or `ValueError` say what is wrong with it."""
        return cls(tomllib.loads(path.read_text(encoding="utf-8")))

    def running(self, contract: str, last_service_on: date | None, on: date) -> Sequence[Running]:
        """The duties that run on a day for somebody of a contract, the longest first; none for who had no service."""
        if last_service_on is None:
            return ()
        found = [
            Running(duty.name, duty.label, ends_on, duty.source, duty.status)
            for duty in self._duties
            if contract in duty.contracts and (ends_on := duty.ends_on(last_service_on)) is not None and on < ends_on
        ]
        return sorted(found, key=lambda each: each.ends_on, reverse=True)


@cache
def bundled_retention() -> Retention:
    """The duties as shipped."""
    return Retention(tomllib.loads((files("contracts") / SHEET).read_text(encoding="utf-8")))


def _duty(name: str, told: Mapping[str, Any]) -> _Duty:
    for key in ("label", "contracts", "after", "source", "status", "values"):
        if not told.get(key):
            raise BadSheet("retention", name, f"has no {key}; add one")
    if told["status"] not in STATUSES:
        raise BadSheet("retention", name, f"status must be one of {', '.join(STATUSES)}")
    if told["after"] not in AFTER:
        raise BadSheet("retention", name, f"after must be one of {', '.join(AFTER)}")
    if told["after"] == "agreement" and not isinstance(told.get("ends_on"), date):
        raise BadSheet("retention", name, "has no ends_on, the day on which the agreement ends")
    years = tuple(sorted((value["from"], int(value["years"])) for value in told["values"]))
    words = (told["label"], tuple(told["contracts"]), told["after"], told["source"], told["status"])
    return _Duty(name, *words, years, told.get("ends_on"))


def _later(day: date, years: int) -> date:
    try:
        return day.replace(year=day.year + years)
    except ValueError:  # 29 February
        return date(day.year + years, 3, 1)

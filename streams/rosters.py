"""Whom full enrollment files listed, and what it ends that two of them in a row do not (outcomes C.1, N = 2).

The memory stands in the key store, since it is the door's and no log or projection has it: of each member that a whole
file has listed, by token, the day of the last such file and of the first since that missed the member. It names nobody.

    file of 1 March lists Jane      remembered
    file of 1 April does not        missed once: nothing
    file of 1 May does not          coverage ends from 1 April: `EnrollmentChanged`, reason `not_listed`
    file of 1 June lists Jane       covered again from 1 April: reason `listed_again`

A file counts when its interchange was read to its end and no member in it was refused, and in the order of the days
that files say of themselves: an older one, or the same again, changes nothing. What a file implies is stated again
with the next one under the same ids, so that a file whose publication broke off loses nothing.
"""

from __future__ import annotations

import hashlib
import hmac
from abc import ABC, abstractmethod
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date
from typing import Any, NamedTuple, Protocol

from msgspec.structs import replace

from contracts.events import EnrollmentChanged, EnrollmentFileReceived
from formats.reading import Read, ReadFact
from streams.shifting import shift_day

SOURCE = "rosters"

TABLE = """
CREATE TABLE listing (                   -- whom full enrollment files list; of the roster itself where token is ''
    payer      TEXT NOT NULL,
    plan       TEXT NOT NULL,
    roster     TEXT NOT NULL,            -- keyed digest of sponsor, insurer and group
    token      TEXT NOT NULL,
    coverage   TEXT NOT NULL,
    listed_on  TEXT NOT NULL,            -- of the last file that lists it; of the roster: the last file
    missed_on  TEXT,                     -- of the first file since that does not; of the roster: the file before
    ended_on   TEXT,                     -- of the file by which its end was stated
    gap_from   TEXT,                     -- where an end that was stated was none
    again_on   TEXT,                     -- of the file that listed it again
    PRIMARY KEY (payer, plan, roster, token, coverage)
) WITHOUT ROWID;
"""
ADD = f"INSERT INTO listing VALUES ({', '.join(f'${n}' for n in range(1, 11))}) ON CONFLICT DO NOTHING"  # noqa: S608
_OF = "payer = $1 AND plan = $2 AND roster = $3"
_LISTED = """
INSERT INTO listing VALUES ($1, $2, $3, $4, $5, $6, NULL, NULL, NULL, NULL)
ON CONFLICT (payer, plan, roster, token, coverage) DO UPDATE SET
    listed_on = excluded.listed_on,
    gap_from  = CASE WHEN listing.ended_on IS NULL THEN listing.gap_from ELSE listing.missed_on END,
    again_on  = CASE WHEN listing.ended_on IS NULL THEN listing.again_on ELSE excluded.listed_on END,
    missed_on = NULL,
    ended_on  = NULL
WHERE excluded.listed_on >= listing.listed_on
  AND (listing.missed_on IS NULL OR excluded.listed_on >= listing.missed_on)
"""
_ENDED = f"DELETE FROM listing WHERE {_OF} AND token = $4 AND coverage = $5 AND listed_on <= $6"  # noqa: S608
_CLOSED = """
INSERT INTO listing VALUES ($1, $2, $3, '', '', $4, $5, NULL, NULL, NULL)
ON CONFLICT (payer, plan, roster, token, coverage) DO UPDATE SET
    listed_on = excluded.listed_on, missed_on = excluded.missed_on
"""


class Listed(NamedTuple):
    """That a file of a day lists a member's coverage, or says that it has ended."""

    plan: str
    roster: str
    token: str
    coverage: str
    file_on: str
    ended: bool


class Implied(NamedTuple):
    """What files imply: coverage ends on a day, or it did not end there after all."""

    token: str
    coverage: str
    from_on: str
    covered: bool


class RosterStore(Protocol):
    """Where listings are remembered."""

    def listed(self, payer: str, rows: Iterable[Listed]) -> None:
        """Remember what files list."""

    def file_read(self, payer: str, plan: str, roster: str, file_on: str) -> list[Implied]:
        """A full file was read whole: what it and those before it imply. An older file implies nothing."""


class ListingTable(ABC):
    """`RosterStore` on the table of a key store."""

    @abstractmethod
    def _rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]: ...

    @abstractmethod
    def _run(self, sql: str, *values: Any) -> None: ...

    @abstractmethod
    def _run_many(self, sql: str, rows: Iterable[tuple[Any, ...]]) -> None: ...

    @abstractmethod
    def _writing(self) -> AbstractContextManager[bytes]: ...

    @abstractmethod
    def _alone(self) -> AbstractContextManager[Any]:
        """No other thread is in the store."""

    def listed(self, payer: str, rows: Iterable[Listed]) -> None:
        """See `RosterStore.listed`."""
        told = list(rows)
        with self._alone(), self._writing():
            self._run_many(_LISTED, [(payer, *row[:5]) for row in told if not row.ended])
            self._run_many(_ENDED, [(payer, *row[:5]) for row in told if row.ended])

    def file_read(self, payer: str, plan: str, roster: str, file_on: str) -> list[Implied]:
        """See `RosterStore.file_read`."""
        of = (payer, plan, roster)
        with self._alone(), self._writing():
            known = self._rows(f"SELECT listed_on, missed_on FROM listing WHERE {_OF} AND token = ''", *of)  # noqa: S608
            last, before = known[0] if known else ("", "")
            if file_on < last:
                return []
            before = last if file_on > last else before
            self._run(
                f"UPDATE listing SET missed_on = $4 "  # noqa: S608
                f"WHERE {_OF} AND token <> '' AND listed_on < $4 AND missed_on IS NULL",
                *of, file_on,
            )  # fmt: skip
            self._run(
                f"UPDATE listing SET ended_on = $4 "  # noqa: S608
                f"WHERE {_OF} AND token <> '' AND missed_on < $4 AND ended_on IS NULL",
                *of, file_on,
            )  # fmt: skip
            self._run(_CLOSED, *of, file_on, before)
            found = self._rows(
                f"SELECT token, coverage, missed_on, ended_on, gap_from, again_on FROM listing "  # noqa: S608
                f"WHERE {_OF} AND token <> '' AND (ended_on >= $4 OR again_on >= $4) ORDER BY token, coverage",
                *of, before,
            )  # fmt: skip
        implied: list[Implied] = []
        for token, coverage, missed_on, ended_on, gap_from, again_on in found:
            if again_on is not None and again_on >= before:
                implied.append(Implied(token, coverage, gap_from, covered=True))
            if ended_on is not None and ended_on >= before:
                implied.append(Implied(token, coverage, missed_on, covered=False))
        return implied


@dataclass(frozen=True, slots=True)
class Stated:
    """A fact that the door states of a member by itself, and the producer's id it has."""

    event: EnrollmentChanged
    producer_id: str
    token: str


class Rosters:
    """What one door hears of full files, in the order in which it admits them."""

    def __init__(self, store: RosterStore, payer: str, key: bytes, shift_years: int) -> None:
        self._store, self._payer, self._key, self._years = store, payer, key, shift_years
        self._waiting: list[Listed] = []
        self._spoilt: set[tuple[str, str, date]] = set()

    def member(self, fact: ReadFact, token: str) -> None:
        """A listed member's coverage goes to the log."""
        if (listing := fact.listing) is not None:
            row = Listed(
                fact.plan, self._named(listing.roster), token, listing.coverage, self._day(listing.file_on),
                listing.ended,
            )  # fmt: skip
            self._waiting.append(row)

    def refused(self, item: Read, plan: str) -> None:
        """The door refuses an item: if it is of a full file, the file does not count."""
        if isinstance(item, ReadFact) and (listing := item.listing) is not None:
            self._spoilt.add((item.plan or plan, listing.roster, listing.file_on))

    def judged(self, fact: ReadFact) -> ReadFact:
        """The fact that a file was read, not whole if the door refused of it."""
        listing, event = fact.listing, fact.event
        if listing is None or (fact.plan, listing.roster, listing.file_on) not in self._spoilt:
            return fact
        assert isinstance(event, EnrollmentFileReceived)
        self._spoilt.discard((fact.plan, listing.roster, listing.file_on))
        return replace(fact, event=event.model_copy(update={"whole": False}), listing=None)

    def implied(self, fact: ReadFact) -> list[Stated]:
        """What it implies that a file was read whole."""
        listing = fact.listing
        if listing is None:
            return []
        self.keep()
        roster = self._named(listing.roster)
        found = self._store.file_read(self._payer, fact.plan, roster, self._day(listing.file_on))
        return [_stated(roster, each) for each in found]

    def keep(self) -> None:
        """Have in the store what was heard."""
        if self._waiting:
            self._store.listed(self._payer, self._waiting)
            self._waiting = []

    def _named(self, roster: str) -> str:
        return hmac.digest(self._key, b"roster|" + roster.encode(), hashlib.sha256).hex()[:32]

    def _day(self, day: date) -> str:
        return (shift_day(day, self._years) if self._years else day).isoformat()


def _stated(roster: str, implied: Implied) -> Stated:
    reason = "listed_again" if implied.covered else "not_listed"
    event = EnrollmentChanged.model_validate(
        {
            "coverage": implied.coverage,
            "from_on": date.fromisoformat(implied.from_on),
            "covered": implied.covered,
            "reason": reason,
        }
    )
    return Stated(event, "|".join((roster, implied.coverage, implied.from_on, reason)), implied.token)

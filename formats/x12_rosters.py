"""Full enrollment files (834 with BGN08 4): whose members they list, and whether they were read whole."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from contracts.events import EnrollmentFileReceived
from formats.reading import Listing, Place, ReadFact


@dataclass(slots=True)
class _Roster:
    place: Place
    members: int = 0
    refused: int = 0


class Rosters:
    """The full files in one interchange. A file may stand in several transaction sets; it ends with the interchange."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, date], _Roster] = {}

    def member(self, roster: str, file_on: date, place: Place, *, refused: bool) -> None:
        """One more member, taken or refused."""
        found = self._found.setdefault((roster, file_on), _Roster(place))
        found.members += 1
        found.refused += refused

    def close(self, source: str) -> Iterator[ReadFact]:
        """The interchange ends as it should: what each of its full files comes to."""
        for (roster, file_on), found in self._found.items():
            whole = not found.refused
            event = EnrollmentFileReceived(roster=roster, file_on=file_on, members=found.members, whole=whole)
            key = "|".join((source, "roster", roster, file_on.isoformat()))
            listing = Listing(roster, file_on, whole=True) if whole else None
            yield ReadFact(event, found.place, source, natural_key=key, rows=0, keyed=("roster",), listing=listing)
        self._found.clear()


def roster_of(*parts: str) -> str:
    """The name of a roster: a digest of what the file says of sponsor, insurer and group."""
    return hashlib.sha256("|".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:32]

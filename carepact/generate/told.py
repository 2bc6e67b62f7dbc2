"""A fact of the population, apart from how it is written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Told:
    """One event: its id, its type without prefix and version, its plan, whom it is about, what it says."""

    event_id: str
    type: str
    plan: str
    person: dict[str, Any]
    data: dict[str, Any]

    @property
    def member(self) -> str:
        """The identifier of the member."""
        value: str = self.person["identifier"]["value"]
        return value

    @property
    def is_claim(self) -> bool:
        """Whether it is a version of a claim."""
        return self.type.endswith("ClaimReceived")

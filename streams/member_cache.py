"""Members in memory between batches: what of each is loaded, stored or changed, and how much may be kept."""

from __future__ import annotations

from dataclasses import dataclass, field

from contracts.fold import Needs
from contracts.parts import Member

NONE = "9999-12"
"""No month: nothing is asked for."""

CACHE_BYTES = 28_000_000
"""Of parts as stored, counted as they grow; a worker that holds as many stays below 400 MB."""


@dataclass(slots=True)
class Cached:
    """A member in memory: its working copy, what of it is stored, and what is not stored yet.

    `stored` are parts other than claims, each with its bytes, `families` the claims among those in memory.
    `claims` are hashes of all claim families stored, for a member that has been in memory since its first fact: a
    family that is not among them is not stored. None: not known.
    """

    member: Member
    stored: dict[tuple[str, str], int] = field(default_factory=dict)
    families: set[str] = field(default_factory=set)
    changed: dict[tuple[str, str], int] = field(default_factory=dict)
    due_on: str | None = None  # as stored; None: not known
    size: int = 0
    wanted: str = NONE  # the earliest month that this batch asked for
    claims: set[int] | None = None

    def has(self, needs: Needs) -> bool:
        """Whether all that is asked for is in memory; notes that it is wanted there."""
        self.wanted = min(self.wanted, needs.since)
        member = self.member
        if needs.since < member.since:
            return False
        for family in needs.families:
            if family not in member.loaded_families:
                if self.claims is None or hash(family) in self.claims:
                    return False
                member.loaded_families.add(family)
        return True


@dataclass(slots=True)
class Budget:
    """How many bytes of parts, as stored, the folders of one process hold in memory together.

    Above the limit a folder gives up members until it holds no more than its even share.
    """

    limit: int = CACHE_BYTES
    used: int = 0
    folders: int = 0

    @property
    def share(self) -> int:
        """What every folder may hold at any time."""
        return self.limit // max(1, self.folders)

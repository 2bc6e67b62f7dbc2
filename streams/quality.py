"""The quality card of a publication: what its rows were like, counted while they are read.

Completeness is asked of what payments and measures rest on. Lateness is of claims, from the last day of service to the
day the payer made the version. Unknown are codes of no form that their system has, and those in no table on the day of
service (`formats/known_codes`); ICD-9 codes count as untranslated where the dated table has nothing for them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from contracts.events import (
    Event,
    InstitutionalClaimReceived,
    PharmacyClaimReceived,
    ProfessionalClaimReceived,
)
from contracts.events.operations import QualityCard
from formats.known_codes import codes_of
from formats.reading import Read, ReadFact, Reject
from streams.door import family_of

ASKED: dict[type[Event], tuple[str, ...]] = {
    ProfessionalClaimReceived: ("billing_tin", "billing_npi", "diagnoses"),
    InstitutionalClaimReceived: ("billing_tin", "facility", "diagnoses", "type_of_bill"),
    PharmacyClaimReceived: ("prescriber_npi", "pharmacy_npi"),
}
"""Fields that a sender may leave out, and that payments or measures use."""

_LATE = ((30, "0-30"), (90, "31-90"), (180, "91-180"), (365, "181-365"))
_LATEST = "366+"


class Card:
    """Counts as it hears. One for each publication."""

    def __init__(self) -> None:
        self._facts: Counter[str] = Counter()
        self._late: Counter[str] = Counter()
        self._asked: Counter[str] = Counter()
        self._missing: Counter[str] = Counter()
        self._rejects: Counter[str] = Counter()
        self._codes: Counter[str] = Counter()
        self._unknown: Counter[str] = Counter()
        self._paid_cents = self._untranslated = 0

    def hear(self, items: Iterable[Read]) -> None:
        """What was read."""
        for item in items:
            if isinstance(item, ReadFact):
                self._fact(item.event)

    def refused(self, rejects: Iterable[Reject]) -> None:
        """What was refused, by the reader or at the door."""
        for reject in rejects:
            self._rejects[reject.code] += reject.rows

    def document(self) -> QualityCard:
        """As the operations topic is told."""
        return QualityCard(
            facts=dict(self._facts),
            paid_cents=self._paid_cents,
            late=dict(self._late),
            asked=dict(self._asked),
            missing=dict(self._missing),
            untranslated=self._untranslated,
            codes=dict(self._codes),
            unknown=dict(self._unknown),
            rejects=dict(self._rejects),
        )

    def _fact(self, event: Event) -> None:
        model = type(event)
        self._facts[family_of(model)] += 1
        for name in ASKED.get(model, ()):
            self._asked[f"{family_of(model)}.{name}"] += 1
            if not getattr(event, name, None):
                self._missing[f"{family_of(model)}.{name}"] += 1
        match event:
            case ProfessionalClaimReceived():
                paid, last = sum(line.paid_cents for line in event.lines), event.through_on
            case InstitutionalClaimReceived():
                paid, last = event.paid_cents, event.through_on
            case PharmacyClaimReceived():
                paid, last = event.paid_cents, event.filled_on
            case _:
                return
        self._paid_cents += -paid if event.action == "void" else paid
        days = (event.effective_on - last).days
        self._late[next((name for most, name in _LATE if days <= most), _LATEST)] += 1
        for kind, _, known in codes_of(event):
            self._codes[kind] += 1
            if not known:
                self._unknown[kind] += 1
        lines = () if isinstance(event, PharmacyClaimReceived) else event.lines
        for coded in (event, *lines):
            sent, made = getattr(coded, "source_diagnoses", ()), getattr(coded, "diagnoses", ())
            self._untranslated += max(0, len(sent) - len(made))

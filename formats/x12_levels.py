"""What stands above the claims of an X12 837: who sends, the provider, the subscriber, the patient."""

from __future__ import annotations

from formats.x12_members import Who
from formats.x12_set import Elements, Transaction


class Context:
    """What stands above a claim: provider, subscriber, patient, with the segments that say so."""

    def __init__(self, transaction: Transaction) -> None:
        self.header: list[Elements] = []
        self.header_first = transaction.started + 1
        self.levels: dict[str, tuple[int, list[Elements]]] = {}
        self.provider: Elements | None = None
        self.provider_npi = self.provider_tin = ""
        self.subscriber, self.patient = Who(), Who()
        self.payer_order = self.payer_kind = ""
        self.submitted: tuple[int, Elements] | None = None
        self._heard = transaction.heard
        self._submitter = ("2", "", "")
        self._of = ""
        self._open = self.header

    def level(self, at: int, elements: Elements) -> None:
        """A new HL: 20 provider, 22 subscriber, 23 patient."""
        code = elements[3]
        if code == "20":
            self.levels = {}
            self.provider, self.provider_npi, self.provider_tin = None, "", ""
        if code in ("20", "22"):
            self.subscriber, self.payer_order, self.payer_kind = Who(), "", ""
            self.levels.pop("22", None)
        self.levels.pop("23", None)
        self.patient, self._of = Who(), ""
        self._open = [elements]
        self.levels[code] = at, self._open

    def take(self, at: int, elements: Elements) -> None:
        """A segment above the claims."""
        self._open.append(elements)
        name = elements[0]
        if name == "NM1":
            self._named(at, elements)
        elif name in ("N3", "N4", "DMG"):
            if self._of == "IL":
                self.subscriber.take(at, elements)
            elif self._of == "QC":
                self.patient.take(at, elements)
        elif name == "SBR":
            self.payer_order, self.payer_kind = elements[1], elements[5]
        elif name == "REF":
            if self._of == "85" and elements[1] in ("EI", "SY"):
                self.provider_tin = elements[2]
        elif name == "BHT":
            self.submitted = at, elements

    def _named(self, at: int, elements: Elements) -> None:
        self._of = of = elements[1]
        if of == "IL":
            self.subscriber.take(at, elements)
        elif of == "QC":
            self.patient.take(at, elements)
        elif of == "85":
            self.provider = elements
            self.provider_npi = elements[9] if elements[8] == "XX" else self.provider_npi
        elif of == "41":
            self._submitter = elements[2], elements[3], elements[9]
        elif of == "40" and self._heard is not None:
            reference = self.submitted[1][3] if self.submitted else ""
            self._heard.named(reference, self._submitter, (elements[3], elements[9]))

    def segments(self) -> list[Elements]:
        """Everything above the present claim."""
        return [*self.header, *(each for _, level in self.levels.values() for each in level)]

    def runs(self) -> list[tuple[int, list[Elements]]]:
        """The same, each run of segments with the number of its first."""
        return [(self.header_first, self.header), *self.levels.values()]

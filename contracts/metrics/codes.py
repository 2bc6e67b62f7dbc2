"""The code sets metrics read, out of an adopted sheet: emergency visits, biosimilars, complications, and the others.

A set of diagnoses holds prefixes, every other holds whole codes. Which day a code counts from stands in the CSV of its
set; a claim cannot carry a code before the code exists.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from contracts.metrics.records import Claim, MemberRecord, Service

HORMONAL = ("hormonal_breast", "hormonal_prostate")
SURGERY = range(10_004, 69_991)
"""CPT's section of surgery, by number."""


@dataclass(frozen=True, slots=True)
class Product:
    """A billing code of a molecule: reference, biosimilar or excluded, and how many of the molecule's units one is."""

    molecule: str
    role: str
    factor: Fraction


class Codes:
    """An adopted sheet's sets, compiled."""

    def __init__(self, value_sets: dict[str, dict[str, list[str]]]) -> None:
        self._sets = {name: frozenset(codes) for name, codes in value_sets.get("metric_codes", {}).items()}
        self._sets |= {f"emergency_{k}": frozenset(v) for k, v in value_sets.get("emergency_visits", {}).items()}
        self._complications = {prefix for codes in value_sets.get("complications", {}).values() for prefix in codes}
        self._cancers = {prefix: name for name, codes in value_sets["cancer_types"].items() for prefix in codes}
        self._products: dict[str, Product] = {}
        for said, codes in value_sets.get("biosimilars", {}).items():
            molecule, role, factor = said.split("|")
            self._products |= dict.fromkeys(codes, Product(molecule, role, Fraction(factor)))
        kinds = [value_sets[name] for name in ("therapy_hcpcs", "therapy_ndc9")]
        self._therapies = {code for kind in kinds for codes in kind.values() for code in codes}
        self._hormonal = {code for kind in kinds for name in HORMONAL for code in kind.get(name, ())}
        self.molecules = tuple(sorted({product.molecule for product in self._products.values()}))

    @classmethod
    def of(cls, content: dict[str, Any]) -> Codes:
        """Of an adopted sheet's content."""
        return cls(content["value_sets"])

    def has(self, name: str, code: str) -> bool:
        """Whether a set of whole codes holds one."""
        return code in self._sets.get(name, frozenset())

    def named(self, prefix: str) -> dict[str, frozenset[str]]:
        """The sets whose name begins so."""
        return {name: codes for name, codes in self._sets.items() if name.startswith(prefix)}

    def diagnosed(self, name: str, diagnoses: Iterable[str]) -> bool:
        """Whether a set of prefixes holds the beginning of any diagnosis."""
        prefixes = self._sets.get(name, frozenset())
        return any(code[:n] in prefixes for code in diagnoses for n in range(1, len(code) + 1))

    def cancer(self, code: str) -> str:
        """The contract's cancer type of a diagnosis; ''."""
        return next((self._cancers[code[:n]] for n in range(len(code), 0, -1) if code[:n] in self._cancers), "")

    def complication(self, diagnoses: tuple[str, ...]) -> bool:
        """One of the ten conditions as the main diagnosis, or as another one beside a main one of cancer."""
        if not diagnoses:
            return False
        named = diagnoses if self.cancer(diagnoses[0]) else diagnoses[:1]
        return any(code[:n] in self._complications for code in named for n in range(3, len(code) + 1))

    def therapy(self, line: Service) -> bool:
        """Whether a line is of a cancer therapy that initiates an episode."""
        return (line.code or line.ndc[:9]) in self._therapies

    def chemotherapy(self, line: Service) -> bool:
        """Whether a line is of systemic therapy other than hormones, or of giving it."""
        code = line.code or line.ndc[:9]
        return self.has("chemo_admin", code) or (code in self._therapies and code not in self._hormonal)

    def product(self, line: Service) -> Product | None:
        """The molecule a line is of; for a drug without a code of its own the NDC says it."""
        code = line.ndc[:9] if self.has("unclassified_drug", line.code) else line.code
        return self._products.get(code)

    def product_of(self, drug: str) -> Product | None:
        """The molecule of an HCPCS or NDC."""
        return self._products.get(drug) or self._products.get(drug[:9])

    def oncology(self, claim: Claim, line: Service) -> bool:
        """Whether a line is oncology's: its diagnoses (or the claim's, where it has none), or its drug."""
        if self.diagnosed("oncology_dx", line.diagnoses or claim.diagnoses):
            return True
        return self.therapy(line) or self.product(line) is not None

    def emergency(self, line: Service) -> bool:
        """Whether a line is of an emergency department: by revenue centre, code or place. Urgent care (0456) is not."""
        return (
            self.has("emergency_revenue", line.revenue)
            or self.has("emergency_hcpcs", line.code)
            or self.has("emergency_place", line.place)
        )

    @staticmethod
    def surgery(line: Service) -> bool:
        """Whether a line is of surgery."""
        return line.code.isdigit() and int(line.code) in SURGERY


def therapy_days(member: MemberRecord, codes: Codes) -> list[str]:
    """The days on which systemic therapy other than hormones was given or filled."""
    return sorted({line.on for _, line in member.services() if codes.chemotherapy(line)})

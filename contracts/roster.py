"""The contracts there are, and the fold of each."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from typing import Any

from contracts import bcbs_sc, employers, eom, ocm
from contracts.decision import ContractFold
from contracts.fold import Fold
from contracts.parts import Adoption
from contracts.terms import bundled, digest_of

SHEETS = {eom.CONTRACT: "eom", bcbs_sc.CONTRACT: "bcbs_sc", employers.CONTRACT: "employers", ocm.CONTRACT: "ocm"}
"""The sheet of each contract."""
PLANS = {employers.CONTRACT: ("palmetto-manufacturing", "lowcountry-retail"), ocm.CONTRACT: ("eom-years",)}
"""Plans with a sheet of their own over their contract's; such a sheet is named `<contract>/<plan>`. OCM's is of no plan
but of other years: what a history of EOM would have paid under it."""
PLAN_SHEETS = {
    f"{contract}/{plan}": f"{SHEETS[contract]}/{plan}" for contract, plans in PLANS.items() for plan in plans
}
MAKERS: dict[str, Any] = {
    eom.CONTRACT: eom.EomClauses,
    bcbs_sc.CONTRACT: bcbs_sc.clauses,
    employers.CONTRACT: employers.clauses,
    ocm.CONTRACT: ocm.OcmClauses,
}
FOLLOW_WORK = frozenset({employers.CONTRACT})
PERIODS = (
    "attribution", "cases", "determining", "exact", "gathering", "in_or_out", "meos_lines", "period", "quality",
    "reference_values", "settled", "settlement", "settlement_payments",
)  # fmt: skip
"""Modules that settle a period whichever of the three contracts of `methods` it is."""

OWN = {
    eom.CONTRACT: (
        *PERIODS, "eom_period", "eom_settlement", "medicare_period", "novel_therapy", "pricing", "steps",
    ),
    ocm.CONTRACT: (*PERIODS, "eom", "medicare_period", "novel_therapy", "ocm_period", "pricing", "steps"),
    bcbs_sc.CONTRACT: (*PERIODS, "bcbs_sc_period", "bcbs_sc_settlement", "care_fee", "payer_order", "savings"),
    employers.CONTRACT: (
        "care_fee", "coverage_change", "determining", "employer_evidence", "employer_settlement", "employer_terms",
        "employment", "exact", "metrics/biosimilars", "metrics/care", "metrics/codes", "metrics/measured",
        "metrics/reading", "metrics/records", "metrics/reported", "metrics/returns", "metrics/scope", "metrics/use",
        "payer_order", "period", "return_to_work", "savings", "work",
    ),
}  # fmt: skip
"""Modules that decide for one contract beside its own."""

SHARED = (
    "adopting", "cases", "claims", "clauses", "coverage", "decision", "episode", "evidence", "evolving", "meos_lines",
    "paying", "recoupment_risk", "reversals", "terms", "units",
)  # fmt: skip
"""Modules whose code decides for every contract, and so is part of each one's digest."""


def bundled_sheet(contract: str) -> tuple[str, str, dict[str, Any]]:
    """(version, digest, content) of the sheet shipped with this build, of a contract or of `<contract>/<plan>`."""
    content = bundled(SHEETS.get(contract) or PLAN_SHEETS[contract])
    return content["sheet"]["version"], digest_of(content), content


@cache
def contract_digest(contract: str) -> str:
    """SHA-256 over the source of the modules that decide for a contract; what `ContractAdopted` names."""
    own = SHEETS[contract]
    modules = sorted({*SHARED, own, *OWN.get(contract, ())})
    digest = hashlib.sha256()
    for name in modules:
        digest.update(f"{name}\n".encode())
        digest.update(files("contracts").joinpath(f"{name}.py").read_bytes().replace(b"\r\n", b"\n"))
    return digest.hexdigest()


def fold_for(contract: str, payer: str, adoption: Adoption) -> Fold:
    """The fold of one partition of `payer`'s log under `contract`, from what the partition has adopted."""
    digest = contract_digest(contract)
    return ContractFold(payer, contract, digest, MAKERS[contract], adoption, contract in FOLLOW_WORK)

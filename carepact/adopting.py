"""The log adopts what this build ships: each payer's term sheet, and the clauses that decide by it (seam 9)."""

from __future__ import annotations

from collections.abc import Sequence

from carepact import __version__
from carepact.settings import Settings, acting, connection, open_key_store
from contracts.events import ContractAdopted, ContractAdoptionRequested, TermsAdopted
from contracts.roster import PLANS, bundled_sheet, contract_digest
from streams.broadcasts import adopt
from streams.door import Door
from streams.log_writer import LogWriter
from streams.operations import state
from streams.roster import Payer
from streams.topics import OPERATOR, log_topic, topics

Adoptions = tuple[TermsAdopted | ContractAdopted, ...]
"""The terms of the plans that have a sheet of their own, the contract's, and its clauses.

In this order, so that a first adoption that was cut off is gone on with: while there are no terms for all plans, it is
still the first.
"""


def bundled_adoptions(contract: str, plans: Sequence[str] = ()) -> Adoptions:
    """What adopting this build's terms and clauses of a contract says, with the sheets of `plans` that it ships."""
    shipped = [plan for plan in plans if plan in PLANS.get(contract, ())]
    return (
        *(_terms(contract, plan) for plan in shipped),
        _terms(contract),
        ContractAdopted(contract=contract, digest=contract_digest(contract), build=__version__),
    )


def _terms(contract: str, plan: str = "") -> TermsAdopted:
    version, digest, content = bundled_sheet(f"{contract}/{plan}" if plan else contract)
    return TermsAdopted(contract=contract, plan=plan, sheet_version=version, digest=digest, content=content)


def _asked(payer: Payer, events: Adoptions) -> ContractAdoptionRequested:
    terms, clauses = events[-2:]
    assert isinstance(terms, TermsAdopted) and isinstance(clauses, ContractAdopted)
    return ContractAdoptionRequested(
        payer=payer.name,
        by=acting(),
        contract=payer.contract,
        terms_version=terms.sheet_version,
        terms_digest=terms.digest,
        clauses_digest=clauses.digest,
        build=clauses.build,
    )


async def adopt_bundled(
    settings: Settings, payers: Sequence[str] | None = None, *, first_only: bool = True
) -> dict[str, int]:
    """Adopt what this build ships for the payers named, or all; how many records each log got for it.

    With `first_only` a log that has adopted anything keeps it: then a new build waits for `carepact contract adopt`.
    """
    roster = settings.load_roster()
    reach = connection(settings, OPERATOR)
    declared = {topic.name: topic for topic in topics(roster, settings.log_partitions)}
    keys = open_key_store(settings)
    written: dict[str, int] = {}
    try:
        async with LogWriter(reach, "carepact.adopt") as writer:
            for payer in roster.payers:
                if payers is not None and payer.name not in payers:
                    continue
                partitions = await writer.partitions(declared[log_topic(payer.name)])
                door = Door(payer, keys, partitions)
                events = bundled_adoptions(payer.contract, [plan.name for plan in payer.plans])
                if not first_only:
                    await state(writer, roster, _asked(payer, events))
                written[payer.name] = len(await adopt(reach, writer, door, events, first_only=first_only))
    finally:
        keys.close()
    return written

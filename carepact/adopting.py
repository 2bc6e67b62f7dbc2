"""The log adopts what this build ships: each payer's term sheet, and the clauses that decide by it (seam 9)."""

from __future__ import annotations

from collections.abc import Sequence

from carepact import __version__
from carepact.settings import Settings, acting, connection, open_key_store
from contracts.events import ContractAdopted, ContractAdoptionRequested, TermsAdopted
from contracts.roster import bundled_sheet, contract_digest
from streams.broadcasts import adopt
from streams.door import Door
from streams.log_writer import LogWriter
from streams.operations import state
from streams.roster import Payer
from streams.topics import OPERATOR, log_topic, topics


def bundled_adoptions(contract: str) -> tuple[TermsAdopted, ContractAdopted]:
    """What adopting this build's terms and clauses of a contract says."""
    version, digest, content = bundled_sheet(contract)
    return (
        TermsAdopted(contract=contract, sheet_version=version, digest=digest, content=content),
        ContractAdopted(contract=contract, digest=contract_digest(contract), build=__version__),
    )


def _asked(payer: Payer, events: tuple[TermsAdopted, ContractAdopted]) -> ContractAdoptionRequested:
    terms, clauses = events
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
                events = bundled_adoptions(payer.contract)
                if not first_only:
                    await state(writer, roster, _asked(payer, events))
                written[payer.name] = len(await adopt(reach, writer, door, events, first_only=first_only))
    finally:
        keys.close()
    return written

"""The first record of every log partition, by which a recreated or shortened log is recognised."""

from __future__ import annotations

from contracts.envelope import Envelope, broadcast_copy_id, broadcast_fact_id, schema_urn
from contracts.events import LogOpened


def log_opened(payer: str, partition: int, log_id: str) -> bytes:
    """The bytes of `LogOpened` for offset 0 of one partition; `log_id` is random, so no two logs open alike."""
    fact_id = broadcast_fact_id(payer, "carepact", log_id)
    envelope = Envelope(
        id=broadcast_copy_id(fact_id, partition),
        source="/carepact/log",
        type=LogOpened.type_name(),
        dataschema=schema_urn(LogOpened),
        payer=payer,
        factid=fact_id,
        data=LogOpened(log_id=log_id, payer=payer, partition=partition).model_dump(mode="json"),
    )
    return envelope.model_dump_json(exclude_none=True).encode()

"""What operators do is an event first, in the operations topic; its tables are made from there (seam 18)."""

from __future__ import annotations

import hashlib
import hmac
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4, uuid5

import orjson
import structlog

from contracts.envelope import NAMESPACE, schema_urn
from contracts.events import (
    OPERATIONS,
    CredentialCreated,
    CredentialRevoked,
    EndpointChanged,
    FileRunRecorded,
    OperatorAct,
    OutcomesReleased,
    RejectDropped,
    RejectRetried,
)
from contracts.events.operations import EVERY_PAYER, SubmittedFile
from projections import store
from streams import endpoint_acts, outcomes
from streams.connections import Connections
from streams.door import log_source
from streams.keys import PayerKeys
from streams.log_writer import LogWriter, Position
from streams.projecting import Projector
from streams.roster import Roster
from streams.topics import operations_topic

CONSUMER = "operations"
ENDINGS = frozenset(
    {".csv", ".tsv", ".txt", ".dat", ".json", ".ndjson", ".jsonl", ".gz", ".zip", ".xml", ".parquet"}
    | {".x12", ".edi", ".837", ".834", ".835"}
)
"""Of file names; another one may be part of a name, as in `claims.smith`."""

KINDS: dict[str, type[OperatorAct]] = {model.type_name(): model for model in OPERATIONS}

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class OperationRecord:
    """An act ready for its topic (`streams.log_writer.Record`)."""

    value: bytes
    partition: int = 0
    key: bytes = b""


def record_of(act: OperatorAct, event_id: str, at: datetime) -> OperationRecord:
    """The event of an act. Its id is its own, not derived: doing a thing twice is two acts."""
    envelope: dict[str, Any] = {
        "specversion": "1.0",
        "id": event_id,
        "source": log_source(act.payer, "operations"),
        "type": act.type_name(),
        "time": at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "dataschema": schema_urn(type(act)),
        "payer": act.payer,
    }
    envelope |= {"plan": act.plan} if act.plan else {}
    data = act.model_dump_json(exclude_defaults=True).encode()
    return OperationRecord(orjson.dumps(envelope | {"data": orjson.Fragment(data)}))


async def state(writer: LogWriter, roster: Roster, act: OperatorAct) -> Position:
    """Write an act to the operations topic; Kafka has it when this returns, so do this before what it is about."""
    record = record_of(act, str(uuid4()), datetime.now(UTC))
    (position,) = await writer.write(operations_topic(roster.space), [record])
    return position


def submitted(path: Path, keys: PayerKeys) -> SubmittedFile:
    """What is told of a file: a keyed digest of its name, and its ending if that is a known one."""
    return submitted_as(path.name, path.stat().st_size, keys)


def submitted_as(name: str, size_bytes: int, keys: PayerKeys, sha256: bytes = b"") -> SubmittedFile:
    """The same of a file that lies under another name here; with the digest of its bytes, that one keyed too."""
    digest = hmac.digest(keys.content, b"file name|" + name.encode("utf-8", "surrogateescape"), hashlib.sha256)
    content = hmac.digest(keys.content, b"file|" + sha256, hashlib.sha256).hex() if sha256 else ""
    return SubmittedFile(
        name_digest=digest.hex()[:32], ending=ending_of(name)[-16:], size_bytes=size_bytes, content_digest=content
    )


def ending_of(name: str) -> str:
    """The known endings of a file's name, as `.csv.gz`; another one may be part of a person's name."""
    known: list[str] = []
    for ending in reversed(Path(name).suffixes):
        if ending.lower() not in ENDINGS:
            break
        known.insert(0, ending.lower())
    return "".join(known)


_OPERATION = """
    INSERT INTO operation (event_id, payer, plan, type, by, data, partition, log_offset, known_at)
    VALUES ($1, $2, $3, $4, $5, $6::jsonb, $7, $8, $9) ON CONFLICT (event_id) DO NOTHING
"""
_RUN = (
    "run_id", "payer", "plan", "format", "shift_years", "file_count", "rows_read", "rows_accepted",
    "rows_duplicate", "rows_rejected", "exact", "complete", "started_at", "finished_at",
)  # fmt: skip
_TOLD = (*_RUN[5:], "log_offset", "quality")  # again, and better known, by a later event of the run
_FILE_RUN = f"""
    INSERT INTO file_run AS r ({", ".join(_RUN)}, log_offset, content, quality)
    VALUES ({", ".join(f"${n}" for n in range(1, len(_RUN) + 3))}, ${len(_RUN) + 3}::jsonb)
    ON CONFLICT (run_id) DO UPDATE
       SET ({", ".join(_TOLD)}) = ({", ".join(f"excluded.{name}" for name in _TOLD)})
     WHERE excluded.exact >= r.exact
"""  # noqa: S608 - our own columns
_CREDENTIAL = """
    INSERT INTO credential (credential_id, role, payer, plan, practice, name, scopes, secret_digest, expires_at,
                            created_by, created_at, log_offset)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT (credential_id) DO NOTHING
"""
_REVOKED = """
    UPDATE credential SET revoked_by = $2, revoked_why = $3, revoked_at = $4
     WHERE credential_id = $1 AND revoked_at IS NULL
"""
_RESOLUTION = """
    INSERT INTO reject_resolution (reject_id, status, why, by, log_offset, known_at) VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (reject_id) DO UPDATE
       SET (status, why, by, log_offset, known_at)
         = (excluded.status, excluded.why, excluded.by, excluded.log_offset, excluded.known_at)
"""


@dataclass(slots=True)
class _Rows:
    """The rows of some records, by statement."""

    of: dict[str, list[tuple[Any, ...]]] = field(default_factory=lambda: defaultdict(list))
    endpoints: list[endpoint_acts.Acted] = field(default_factory=list)

    def add(self, topic: str, record: Any) -> None:
        """The rows of one record; what is no act of a kind known here is told by its position alone."""
        known_at = store.instant(record.timestamp)
        try:
            envelope = orjson.loads(record.value)
            event_id, data = UUID(envelope["id"]), orjson.dumps(envelope["data"])
            act = KINDS[envelope["type"]].model_validate_json(data)
        except (ValueError, KeyError, TypeError):
            log.warning("unknown_operation", topic=topic, offset=record.offset)
            event_id = uuid5(NAMESPACE, f"operation|{topic}|{record.partition}|{record.offset}")
            row = (event_id, "", "", "unknown", "", "{}", record.partition, record.offset, known_at)
            self.of[_OPERATION].append(row)
            return
        told = (data.decode(), record.partition, record.offset, known_at)
        self.of[_OPERATION].append((event_id, act.payer, act.plan, act.type_name(), act.by, *told))
        match act:
            case FileRunRecorded():
                content = act.files[0].content_digest if len(act.files) == 1 else ""
                quality = act.quality.model_dump_json() if act.quality else None
                self.of[_FILE_RUN].append((*(getattr(act, name) for name in _RUN), record.offset, content, quality))
            case OutcomesReleased():
                for statement, row in outcomes.rows(act, event_id, record.offset, known_at):
                    self.of[statement].append(row)
            case CredentialCreated():
                self.of[_CREDENTIAL].append(_credential(act, record.offset, known_at))
            case CredentialRevoked():
                self.of[_REVOKED].append((act.credential_id, act.by, act.why, known_at))
            case EndpointChanged():
                self.endpoints.append(endpoint_acts.Acted(act, record.offset, known_at))
            case RejectRetried() if act.rows_read and not act.rows_rejected:
                why = "sent again, corrected" if act.corrected else "sent again"
                for reject_id in act.reject_ids:
                    self._resolved(reject_id, "retried", why, act.by, record.offset, known_at)
            case RejectDropped():
                self._resolved(act.reject_id, "dropped", act.why, act.by, record.offset, known_at)
            case _:
                pass

    def _resolved(self, reject_id: str, *told: Any) -> None:
        self.of[_RESOLUTION].append((UUID(reject_id), *told))


def _credential(act: CredentialCreated, offset: int, known_at: datetime) -> tuple[Any, ...]:
    payer = "" if act.payer == EVERY_PAYER else act.payer
    holder = (act.role, payer, act.plan, act.practice, act.name)
    return (
        act.credential_id, *holder, list(act.scopes), act.secret_digest, act.expires_at, act.by, known_at, offset,
    )  # fmt: skip


class OperationProjector(Projector):
    """Brings the operations topic into its tables."""

    def __init__(self, connections: Connections, roster: Roster, owner: str, **service: Any) -> None:
        super().__init__(connections, CONSUMER, roster.space, [operations_topic(roster.space)], owner, **service)

    async def insert(self, connection: Any, topic: str, records: Sequence[Any]) -> None:
        """The rows of new records, in the order of the topic."""
        await insert(connection, topic, records)


async def insert(connection: Any, topic: str, records: Sequence[Any]) -> None:
    """See `OperationProjector.insert`."""
    rows = _Rows()
    for record in records:
        rows.add(topic, record)
    for statement in sorted(
        rows.of, key=lambda each: each is not _CREDENTIAL
    ):  # one made and revoked at once is made first
        await connection.executemany(statement, rows.of[statement])
    await endpoint_acts.apply(connection, rows.endpoints)

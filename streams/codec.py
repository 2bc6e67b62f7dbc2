"""Bytes of a record to a fact, and a payment to bytes: the hot path, without pydantic.

The structures are derived from the pydantic models, which stay the only source of schemas; a test holds both equal on
every golden record. Lengths, patterns and ranges were checked at the door and are not checked again here: types,
closed fields, closed choices and the envelope are.
"""

from __future__ import annotations

import re
import types
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from hashlib import blake2b
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec
from pydantic import BaseModel

from contracts.envelope import Fact, schema_urn
from contracts.events import LOG_FACTS, PaymentDetermined, stored
from contracts.events.base import Event, Model
from contracts.events.payments import RecoupmentRiskChanged
from contracts.outcome import Payment
from contracts.recoupment_risk import KIND as AT_RISK

CONTENT_TYPE = ("content-type", b"application/cloudevents+json; charset=UTF-8")
"""The one header of every record."""

PLAIN = (str, int, float, bool, bytes, date, datetime, Decimal, type(None), Any)
"""Types that msgspec reads as pydantic does from JSON."""


class Unreadable(Exception):
    """A record that is not an event of its type. The message names what and where, and shows nothing of the content."""


class UnknownType(Exception):
    """A record of a type or version this build does not know: a newer build must read this log."""


_made: dict[type[BaseModel], type[msgspec.Struct]] = {}


def struct_of(model: type[BaseModel]) -> type[msgspec.Struct]:
    """The structure with a pydantic model's name, fields, aliases and defaults; unknown fields are refused."""
    if model not in _made:
        _made[model] = _make_struct(model)
    return _made[model]


def _make_struct(model: type[BaseModel]) -> type[msgspec.Struct]:
    required: list[Any] = []
    optional: list[Any] = []
    renamed: dict[str, str] = {}
    for name, field in model.model_fields.items():
        if field.alias:
            renamed[name] = field.alias
        if field.is_required():
            required.append((name, _plain(field.annotation)))
        else:
            optional.append((name, _plain(field.annotation), field.get_default(call_default_factory=True)))
    return msgspec.defstruct(
        model.__name__,
        required + optional,
        frozen=True,
        forbid_unknown_fields=True,
        gc=False,  # a fact holds no cycle; without this the collector walks every fact of a batch
        kw_only=True,
        rename=renamed or None,
        module=__name__,
    )


def _plain(annotation: Any) -> Any:
    """An annotation without its constraints, models in it replaced by structures."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return struct_of(annotation)
    if annotation in PLAIN:
        return annotation
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _plain(inner[0])
    if origin is Literal:
        return annotation
    if origin in {Union, types.UnionType}:
        return Union[tuple(_plain(one) for one in inner)]  # noqa: UP007 - made at run time
    if origin in {tuple, dict, list}:
        return origin[tuple(one if one is Ellipsis else _plain(one) for one in inner)]
    raise AssertionError(f"no structure is known for {annotation}")


class _Envelope(msgspec.Struct, frozen=True, gc=False):
    """`contracts.envelope.Envelope` as read from a log, its data still bytes."""

    id: str
    source: str
    type: str
    dataschema: str
    payer: str
    data: msgspec.Raw
    specversion: Literal["1.0"] = "1.0"
    datacontenttype: Literal["application/json"] = "application/json"
    subject: str | None = None
    time: str | None = None
    plan: str = ""
    contentdigest: str | None = None
    sealed: str | None = None
    shiftyears: int | None = None
    sensitivity: str | None = None
    factid: str | None = None
    cause: str | None = None
    sequence: str | None = None


_read_envelope = msgspec.json.Decoder(_Envelope).decode
_readers: dict[str, tuple[str, Any]] = {
    name: (name, msgspec.json.Decoder(struct_of(stored(model))).decode) for name, model in LOG_FACTS.items()
}


def decode_record(
    topic: str, partition: int, offset: int, timestamp_ms: int, key: bytes | None, value: bytes | None
) -> Fact:
    """One record of a log as a fact. `Unreadable` is the record's fault, `UnknownType` this build's."""
    try:
        envelope = _read_envelope(value or b"")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Unreadable(f"the envelope is not as it should be: {_without_content(error)}") from None
    member = envelope.subject or ""
    try:
        kind, read = _readers[envelope.type]  # one text for each type: parts keep it with every fact they name
    except KeyError:
        raise UnknownType(f"this build knows no event type {envelope.type[:80]!r}") from None
    if (key or b"") != member.encode():
        raise Unreadable("subject: the record's key names another member")
    fact_id = envelope.factid
    if not _is_id(envelope.id) or (fact_id and not _is_id(fact_id)):
        raise Unreadable("id: not a UUID")
    raw = envelope.data
    try:
        data = read(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Unreadable(f"data of {envelope.type}: {_without_content(error)}") from None
    return Fact(  # in the order of its fields: names of arguments cost, once for each fact
        envelope.id,
        fact_id or envelope.id,
        kind,
        member,
        envelope.plan,
        data,
        topic,
        partition,
        offset,
        timestamp_ms,
        envelope.contentdigest or digest_of(bytes(raw)),
        envelope.sensitivity or "",
    )


_is_id = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}").fullmatch


def digest_of(stored_bytes: bytes) -> str:
    """The digest by which stored bytes are compared: 128 bits of BLAKE2b, in hex."""
    return blake2b(stored_bytes, digest_size=16).hexdigest()


def _without_content(error: Exception) -> str:
    """msgspec names types and paths only; what a decoder of characters says is replaced."""
    if isinstance(error, msgspec.ValidationError):
        message = str(error)
        return message if "Invalid enum value" not in message else "not one of its choices" + _path(message)
    return "not JSON in UTF-8"


def _path(message: str) -> str:
    return " - at " + message.rpartition(" - at ")[2] if " - at " in message else ""


@dataclass(frozen=True, slots=True)
class Emitter:
    """What the events of one payer's contract have in common."""

    payer: str
    contract: str

    def encode(self, payment: Payment, known_at_ms: int) -> bytes:
        """The exact bytes that are kept as `payment.event` and sent: a CloudEvent with the payment as its data.

        `known_at_ms` is when the log learned the cause, so that a replay emits the same bytes.
        """
        instant = datetime.fromtimestamp(known_at_ms / 1000, UTC)
        return _encode(
            {
                "specversion": "1.0",
                "id": payment.payment_id,
                "source": f"/carepact/{self.payer}/{self.contract}",
                "type": _RISK_TYPE if payment.kind == AT_RISK else _PAYMENT_TYPE,
                "subject": payment.member,
                "time": instant.strftime("%Y-%m-%dT%H:%M:%S.") + f"{known_at_ms % 1000:03d}Z",
                "datacontenttype": "application/json",
                "dataschema": _RISK_SCHEMA if payment.kind == AT_RISK else _PAYMENT_SCHEMA,
                "payer": self.payer,
                "plan": payment.plan,
                "sequence": f"{payment.sequence:09d}",
                "data": payment.event,
            }
        )


def encode_payment(payer: str, contract: str, payment: Payment, known_at_ms: int) -> bytes:
    """As `Emitter.encode`, for one payment."""
    return Emitter(payer, contract).encode(payment, known_at_ms)


def structs() -> Sequence[tuple[type[Event], type[msgspec.Struct]]]:
    """Every stored model of a log beside the structure derived from it."""
    return [(stored(model), struct_of(stored(model))) for model in LOG_FACTS.values()]


def as_plain(value: Any) -> Any:
    """A model or structure as plain values, for comparing one with the other."""
    if isinstance(value, Model):
        return {name: as_plain(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, msgspec.Struct):
        return {name: as_plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, (list, tuple)):
        return [as_plain(one) for one in value]
    if isinstance(value, dict):
        return {name: as_plain(one) for name, one in value.items()}
    return value


_encode = msgspec.json.Encoder(decimal_format="string").encode
_PAYMENT_TYPE = PaymentDetermined.type_name()
_PAYMENT_SCHEMA = schema_urn(PaymentDetermined)
_RISK_TYPE, _RISK_SCHEMA = RecoupmentRiskChanged.type_name(), schema_urn(RecoupmentRiskChanged)

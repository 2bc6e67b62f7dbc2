"""The door: every way in (files, Kafka inboxes, HTTP, the platform itself) leads through `Door.admit`.

Here a person becomes a token. What leaves is the record as the log keeps it: a CloudEvent whose `data` has no field
that names anybody, and whose `sealed` holds those fields encrypted under the member's own key. What cannot be let in
leaves as a `Reject`, with its place, its reason and the way to mend it.

`data` is written without fields at their default: short, and the same whether or not a sender spelled a default out.
So the default of a field is part of the stored format, and changing one is a new version of the event.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import sqlite3
from binascii import b2a_base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Protocol
from urllib.parse import quote

import orjson
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import Struct
from msgspec.structs import replace

from contracts.envelope import FINDINGS_MAX, MAX_FACT_BYTES, broadcast_copy_id, broadcast_fact_id, log_id, schema_urn
from contracts.events import (
    LOG_FACTS,
    ContractAdopted,
    DayClosed,
    Event,
    LogOpened,
    MemberFact,
    MemberLinked,
    MemberRetired,
    Person,
    SubjectErased,
    TermsAdopted,
    sealed_fields,
)
from contracts.part2 import PART2, Programmes, sensitive
from formats.reading import Instant, Place, Read, ReadFact, Reject
from streams.keys import KeyStore, PayerKeys, Subject, identifier_digest, member_token
from streams.output import partition_of
from streams.roster import Payer
from streams.rosters import SOURCE as ROSTERS
from streams.rosters import Rosters
from streams.shifting import DayOutOfRange, shifted

OWN_FACTS: frozenset[type[Event]] = frozenset(
    {MemberLinked, MemberRetired, SubjectErased, TermsAdopted, ContractAdopted, DayClosed, LogOpened}
)
"""Facts that only the platform itself may state."""

FAMILIES = {
    "claims": "claim",
    "enrollment": "enrollment",
    "health": "clinical",
    "work": "work",
    "payments": "payment",
    "remittance": "remittance",
}

SOURCE_MAX = 120
NATURAL_KEY = "naturalkey"
_MEMBERS_CACHED = 100_000
_TIMES_CACHED = 4_096  # records of one batch of a sender often have one time
_SEAL_VERSION = b"\x01"
_NONCE_BYTES = 12
_person_json = Person.__pydantic_serializer__.to_json
_URL_SAFE = bytes.maketrans(b"+/", b"-_")


class Admitted(Struct):
    """A record ready for the log: its partition, key and value. `rows` is 0 in all copies of a broadcast but one."""

    event_id: str
    fact_id: str
    type: str
    family: str
    member: str
    plan: str
    digest: str
    partition: int
    key: bytes
    value: bytes
    place: Place
    rows: int


class Submission(Protocol):
    """Counts equal records, so that two identical originals of one submission are two facts (seam 2)."""

    def ordinal(self, record: bytes) -> int:
        """How many records equal to this one, by its 32-byte digest, came before it."""


class FileSubmission:
    """One publication of files, of any number and size. Beyond `held` digests the rest goes to a temporary file."""

    def __init__(self, held: int = 500_000) -> None:
        self._held = held
        self._counts: dict[bytes, int] = {}
        self._spilled: sqlite3.Connection | None = None

    def ordinal(self, record: bytes) -> int:
        """See `Submission.ordinal`."""
        before = self._counts.get(record)
        if before is None:
            before = self._before_spill(record)
            if len(self._counts) >= self._held:
                self._spill()
        self._counts[record] = before + 1
        return before

    def _before_spill(self, record: bytes) -> int:
        if self._spilled is None:
            return 0
        row = self._spilled.execute("SELECT n FROM seen WHERE record = ?", (record,)).fetchone()
        return int(row[0]) if row else 0

    def _spill(self) -> None:
        if self._spilled is None:
            self._spilled = sqlite3.connect("")  # a file without a name; gone when closed
            self._spilled.execute("CREATE TABLE seen (record BLOB PRIMARY KEY, n INTEGER NOT NULL) WITHOUT ROWID")
        self._spilled.executemany("INSERT OR REPLACE INTO seen VALUES (?, ?)", self._counts.items())
        self._counts = {}


class SingleRecords:
    """Each record is a submission of its own, as in an inbox: a derived id then depends on the content alone."""

    def ordinal(self, record: bytes) -> int:
        """Always 0."""
        return 0


class _Kind:
    """What the door knows of one type of event."""

    __slots__ = (
        "_rarely",
        "digested",
        "event_type",
        "family",
        "is_member",
        "is_sent",
        "model",
        "sealed",
        "to_json",
        "urn",
    )

    def __init__(self, model: type[Event]) -> None:
        self.model = model
        self.event_type = model.type_name()
        self.digested = self.event_type.encode() + b"|"
        self.urn = schema_urn(model)
        self.to_json = model.__pydantic_serializer__.to_json
        self.sealed = set(sealed_fields(model))
        self._rarely = tuple((name, model.model_fields[name].default) for name in self.sealed - {"person"})
        self.is_member = issubclass(model, MemberFact)
        self.is_sent = model not in OWN_FACTS and self.event_type in LOG_FACTS
        self.family = family_of(model)

    def personal(self, event: MemberFact) -> bytes:
        """The sealed fields as JSON, without those at their default. Of most facts that is the person alone."""
        fields = event.__dict__
        if fields["person"] is None or any(fields[name] != default for name, default in self._rarely):
            return self.to_json(event, include=self.sealed, exclude_defaults=True)
        return b'{"person":%b}' % _person_json(fields["person"], exclude_defaults=True)


@dataclass(slots=True)
class _Known:
    token: str
    key: bytes
    partition: int
    cipher: AESGCM | None


def family_of(model: type[Event]) -> str:
    """The heading under which `publish` counts an event: those of `FAMILIES`, epro, and practice."""
    if model.__name__ == "EproResponseReceived":
        return "epro"
    return FAMILIES.get(model.__module__.rpartition(".")[2], "practice")


class Door:
    """The way into one payer's log, for one of its tenants.

    `plan` is the tenant's plan where the payer has plans: facts of another plan are refused, and facts without one
    are of this. Without it each fact must name its plan.
    """

    def __init__(self, payer: Payer, keys: KeyStore, partitions: int, plan: str = "", shift_years: int = 0) -> None:
        self.payer = payer
        self.partitions = partitions
        self._plan = plan
        self._plans = frozenset(each.name for each in payer.plans)
        if plan and plan not in self._plans:
            raise ValueError(f"{payer.name} has no plan {plan!r}")
        self.shift_years = shift_years
        self._programmes = Programmes(payer.part2_sources, payer.part2_providers)
        self._store = keys
        self._keys: PayerKeys = keys.payer_keys(payer.name)
        self._content = hmac.new(self._keys.content, digestmod=hashlib.sha256)
        self._rosters = Rosters(keys, payer.name, self._keys.content, shift_years)
        self._generation = -1
        self._members: dict[tuple[str, str, str], _Known] = {}
        self._kinds: dict[type[Event], _Kind] = {}
        self._heads: dict[tuple[str, str, str], bytes] = {}
        self.links: set[tuple[str, str]] = set()
        self._tail = b'"' + (b',"shiftyears":%d' % shift_years if shift_years else b"")

    def admit(self, items: Sequence[Read], submission: Submission | None = None) -> list[Admitted | Reject]:
        """Records for the log, and rejects, in the order of the items; rejects among the items pass through.

        Keys of members not seen before are on disk when this returns. Without a `submission` the call is one.
        """
        submission = submission or FileSubmission()
        facts = [self._checked(item) if isinstance(item, ReadFact) else item for item in items]
        self._learn(facts)
        nonces = os.urandom(_NONCE_BYTES * len(facts))
        out: list[Admitted | Reject] = []
        for n, fact in enumerate(facts):
            if isinstance(fact, Reject):
                out.append(fact)
            elif self._kind(type(fact.event)).is_member:
                out.append(self._member_record(fact, nonces[n * _NONCE_BYTES : (n + 1) * _NONCE_BYTES], submission))
                if fact.listing is not None and isinstance(record := out[-1], Admitted):
                    self._rosters.member(fact, record.member)
            else:
                judged = self._rosters.judged(fact)
                out.extend(self._copies(judged, submission))
                out.extend(self._implied(judged))
            if isinstance(out[-1], Reject):
                self._rosters.refused(items[n], self._plan)
        self._rosters.keep()
        return out

    def _implied(self, fact: ReadFact) -> Iterator[Admitted]:
        """What it implies that a full enrollment file was read whole; of those who were erased, nothing."""
        if fact.listing is None or not (stated := self._rosters.implied(fact)):
            return
        erased = frozenset(self._store.destroyed(self.payer.name))
        for each in stated:
            if each.token not in erased:
                for record in self.admit_own(each.event, ROSTERS, each.producer_id, each.token, fact.plan):
                    record.rows = 0
                    yield record

    def admit_own(
        self, event: Event, source: str, producer_id: str, member: str = "", plan: str = ""
    ) -> list[Admitted]:
        """What the platform itself states: of `member`, given by token, or to every partition. It is never refused."""
        kind = self._kind(type(event))
        assert kind.is_member == bool(member), f"{kind.event_type}: a member's fact has a token, a broadcast has none"
        assert kind.to_json(event, include=kind.sealed, exclude_defaults=True) == b"{}", "it names nobody"
        fact = ReadFact(event, Place(source), source, producer_id, plan=plan)
        if not kind.is_member:
            copies = [each for each in self._copies(fact, SingleRecords()) if isinstance(each, Admitted)]
            assert copies, f"{kind.event_type} is too large for a fact"
            return copies
        key = member.encode()
        known = _Known(member, key, partition_of(key, self.partitions), None)
        data = kind.to_json(event, exclude=kind.sealed, exclude_defaults=True)
        digest = self._digest(kind, data, b"")
        event_id = log_id(self.payer.name, source, producer_id, member)
        return [self._record(fact, kind, known, event_id, digest, data, b"")]

    def _checked(self, fact: ReadFact) -> ReadFact | Reject:
        """The fact with its plan and its days shifted; or why it is refused."""
        if fact.keyed:
            fact = self._with_keyed(fact)
        event, plan = fact.event, fact.plan or self._plan
        if refusal := self._refusal(fact, plan):
            return refusal
        if fact.time is not None and type(fact.time) is not Instant and _utc(fact.time) is None:
            return _refused(fact, "bad_time", "time has no offset or is no time", "write it as in RFC 3339", "/time")
        if self.shift_years:
            try:
                event = shifted(event, self.shift_years)
            except DayOutOfRange as refused:
                return _refused(fact, "day_out_of_range", str(refused), "shift by fewer years", "/data")
        if plan == fact.plan and event is fact.event:
            return fact
        return replace(fact, event=event, plan=plan)

    def _with_keyed(self, fact: ReadFact) -> ReadFact:
        """The fact with digests under the payer's key where the reader put digests of what names a person (seam 2)."""
        found: dict[str, str] = {}
        for digest in {value for name in fact.keyed if (value := getattr(fact.event, name)) is not None}:
            found[digest] = hmac.digest(self._keys.content, b"keyed id|" + digest.encode(), hashlib.sha256).hex()[:32]
        names = {name: found[value] for name in fact.keyed if (value := getattr(fact.event, name)) is not None}
        return replace(fact, event=fact.event.model_copy(update=names), keyed=())

    def _refusal(self, fact: ReadFact, plan: str) -> Reject | None:
        """The first rule that the fact breaks: its type, its plan, its source, its member."""
        model = type(fact.event)
        if not self._kind(model).is_sent:
            reason, remedy = (
                f"{model.type_name()} is not a fact that a payer sends",
                "send a type of the event catalogue",
            )
            return _refused(fact, "unknown_type", reason, remedy, "/type")
        if fact.payer and fact.payer != self.payer.name:
            reason = f"the record names a payer that is not {self.payer.name}"
            return _refused(fact, "unknown_payer", reason, "send it to its own payer, or leave the name out", "/payer")
        is_member = self._kind(model).is_member
        if (plan and plan not in self._plans) or (is_member and self._plans and not plan):
            there_are = f"name one of {', '.join(sorted(self._plans))}" if self._plans else "name no plan"
            reason = f"{self.payer.name} has no such plan" if plan else f"{self.payer.name} needs the member's plan"
            return _refused(fact, "unknown_plan", reason, there_are, "/plan")
        if self._plan and plan != self._plan:
            return _refused(
                fact, "other_plan", f"this is the way in of {self._plan}", "send it to its own plan", "plan"
            )
        if not 0 < len(fact.source) <= SOURCE_MAX:
            reason = f"source is empty or longer than {SOURCE_MAX} characters"
            return _refused(fact, "bad_source", reason, "give it a short name", "/source")
        if is_member and getattr(fact.event, "person", None) is None:
            reason, remedy = "the record does not say who it is about", "give the member's identifier, kind and value"
            return _refused(fact, "no_member_identifier", reason, remedy, "/data/person/identifier")
        return None

    def _learn(self, facts: Sequence[ReadFact | Reject]) -> None:
        """Have token, key and partition of every member of the batch at hand, with one call to the key store."""
        if (generation := self._store.generation()) != self._generation or len(self._members) > _MEMBERS_CACHED:
            self._members.clear()
            self._generation = generation
        for fact in facts:
            if isinstance(fact, ReadFact) and fact.formerly:
                self._join(fact)
        wanted: dict[tuple[str, str, str], bytes] = {}
        for fact in facts:
            if isinstance(fact, ReadFact) and isinstance(fact.event, MemberFact) and (person := fact.event.person):
                who = (fact.plan, person.identifier.kind, person.identifier.value)
                if who not in self._members and who not in wanted:
                    wanted[who] = identifier_digest(self._keys.pseudonym, fact.plan, person.identifier)
        if wanted:
            subjects = self._store.subjects(self.payer.name, list(wanted.values()))
            for who, digest in wanted.items():
                self._members[who] = self._known(subjects[digest])

    def _join(self, fact: ReadFact) -> None:
        """Have the identifiers that meant a person before mean the member that the present one means (seam 22).

        The first token stays. Where two have facts already, or may have some yet to be moved, that is kept in `links`.
        """
        assert isinstance(fact.event, MemberFact)
        assert fact.event.person is not None
        payer, identifiers = self.payer.name, (*fact.formerly, fact.event.person.identifier)
        digests = [identifier_digest(self._keys.pseudonym, fact.plan, each) for each in identifiers]
        known = self._store.known(payer, digests) or self._store.subjects(payer, digests[-1:])
        first = next(known[digest].token for digest in digests if digest in known)
        if new := [digest for digest in digests if digest not in known]:
            self._store.also(payer, first, new)
            known = self._store.known(payer, digests)
        own = {member_token(digest) for digest in digests}
        others = {subject.token for subject in known.values()} | (own & set(self._store.tokens_of(payer, first)))
        self.links |= {(first, token) for token in others if token != first}

    def take_links(self) -> list[tuple[str, str]]:
        """Members that were found to be one person since the last call: who stays, and who is to be retired.

        One whose link was made before is among them: only the log says whether all of its facts were moved.
        """
        links, self.links = sorted(self.links), set()
        return links

    def _known(self, subject: Subject) -> _Known:
        key = subject.token.encode()
        cipher = None if subject.key is None else AESGCM(subject.key)
        return _Known(subject.token, key, partition_of(key, self.partitions), cipher)

    def _member_record(self, fact: ReadFact, nonce: bytes, submission: Submission) -> Admitted | Reject:
        event = fact.event
        assert isinstance(event, MemberFact)
        assert event.person is not None
        kind = self._kind(type(event))
        identifier = event.person.identifier
        known = self._members[(fact.plan, identifier.kind, identifier.value)]
        if known.cipher is None:
            reason = f"member {known.token} was erased: nothing new is kept of them, not even this record"
            return Reject(fact.place, "member_erased", reason, "send nothing more of this member", b"", fact.rows)
        data = kind.to_json(event, exclude=kind.sealed, exclude_defaults=True)
        personal = kind.personal(event)
        digest = self._digest(kind, data, personal)
        producer_id = fact.producer_id or self._derived_id(fact, known.key, digest, submission)
        event_id = log_id(self.payer.name, fact.source, producer_id, known.token)
        bound = f"{event_id}|{known.token}".encode()
        blob = b2a_base64(_SEAL_VERSION + nonce + known.cipher.encrypt(nonce, personal, bound), newline=False)
        sealed = blob.translate(_URL_SAFE)
        record = self._record(fact, kind, known, event_id, digest, data, sealed)
        return _too_large(fact) if len(record.value) > MAX_FACT_BYTES else record

    def _record(
        self, fact: ReadFact, kind: _Kind, known: _Known, event_id: str, digest: bytes, data: bytes, sealed: bytes
    ) -> Admitted:
        part2 = bool(sealed) and sensitive(fact.event, fact.source, self._programmes, said=fact.part2)
        digest_text = digest[:16].hex()
        value = b"".join((
            b'{"specversion":"1.0","id":"', event_id.encode(), self._head(kind, fact.source, fact.plan),
            b',"subject":"', known.key,
            b'","time":"' + _instant(fact.time) if fact.time else b"",
            b'","contentdigest":"', digest_text.encode(),
            b'","sealed":"' + sealed if sealed else b"",
            b'","findings":"' + _findings(fact) if fact.findings else b"",
            b'","sensitivity":"part2' if part2 else b"",
            self._tail, b',"data":', data, b"}",
        ))  # fmt: skip
        return Admitted(
            event_id, event_id, kind.event_type, kind.family, known.token, fact.plan,
            digest_text, known.partition, known.key, value, fact.place, fact.rows,
        )  # fmt: skip

    def _copies(self, fact: ReadFact, submission: Submission) -> Iterator[Admitted | Reject]:
        """One record in every partition, with ids of their own and one fact id (seam 4)."""
        kind = self._kind(type(fact.event))
        data = kind.to_json(fact.event, exclude_defaults=True)
        digest = self._digest(kind, data, b"")
        producer_id = fact.producer_id or self._derived_id(fact, b"", digest, submission)
        source = f"{fact.plan}/{fact.source}" if fact.plan else fact.source
        fact_id = broadcast_fact_id(self.payer.name, source, producer_id)
        digest_text = digest[:16].hex()
        rest = b"".join((
            self._head(kind, fact.source, fact.plan),
            b',"time":"' + _instant(fact.time) + b'"' if fact.time else b"",
            b',"contentdigest":"', digest_text.encode(), b'","factid":"', fact_id.encode(),
            b'","findings":"' + _findings(fact) if fact.findings else b"",
            self._tail, b',"data":', data, b"}",
        ))  # fmt: skip
        if len(rest) + 100 > MAX_FACT_BYTES:
            yield _too_large(fact)
            return
        for partition in range(self.partitions):
            copy_id = broadcast_copy_id(fact_id, partition)
            value = b'{"specversion":"1.0","id":"' + copy_id.encode() + rest
            yield Admitted(
                copy_id, fact_id, kind.event_type, kind.family, "", fact.plan,
                digest_text, partition, b"", value, fact.place, 0 if partition else fact.rows,
            )  # fmt: skip

    def _digest(self, kind: _Kind, data: bytes, personal: bytes) -> bytes:
        return self._keyed(b"%b%b|%b" % (kind.digested, data, personal))

    def _keyed(self, content: bytes) -> bytes:
        """HMAC-SHA256 under the payer's content key, which is set up once."""
        made = self._content.copy()
        made.update(content)
        return made.digest()

    def _derived_id(self, fact: ReadFact, token: bytes, digest: bytes, submission: Submission) -> str:
        """The id of a record whose source gives none; file names and lines have no part in it (seam 2)."""
        record = self._keyed(
            b"\x1f".join((
                b"derived id", fact.source.encode(), fact.natural_key.encode(), fact.plan.encode(),
                token, digest, b"%d" % self.shift_years,
            ))
        )  # fmt: skip
        return f"derived|{record.hex()}|{submission.ordinal(record)}"

    def _head(self, kind: _Kind, source: str, plan: str) -> bytes:
        head = self._heads.get((kind.event_type, source, plan))
        if head is None:
            named = {
                "source": log_source(self.payer.name, source),
                "type": kind.event_type,
                "datacontenttype": "application/json",
                "dataschema": kind.urn,
                "payer": self.payer.name,
            } | ({"plan": plan} if plan else {})
            if len(self._heads) > _MEMBERS_CACHED // 100:
                self._heads.clear()
            head = self._heads[kind.event_type, source, plan] = b'",' + orjson.dumps(named)[1:-1]
        return head

    def _kind(self, model: type[Event]) -> _Kind:
        kind = self._kinds.get(model)
        if kind is None:
            kind = self._kinds[model] = _Kind(model)
        return kind


def log_source(payer: str, source: str) -> str:
    """The `source` of a record in the log: the producer's own, as a path below the payer's."""
    return f"/carepact/{payer}/{quote(source.lstrip('/'), safe='/:@-._~')}"


def seal(key: bytes, event_id: str, member: str, personal: bytes) -> str:
    """Personal fields (JSON) sealed under a member's key, bound to the event and the member; `unseal` opens them."""
    nonce = os.urandom(_NONCE_BYTES)
    blob = _SEAL_VERSION + nonce + AESGCM(key).encrypt(nonce, personal, f"{event_id}|{member}".encode())
    return base64.urlsafe_b64encode(blob).decode("ascii")


def unseal(key: bytes, event_id: str, member: str, sealed: str) -> dict[str, Any]:
    """The personal fields of a record. `cryptography.exceptions.InvalidTag` when it is another's or was changed."""
    blob = base64.urlsafe_b64decode(sealed)
    assert blob[:1] == _SEAL_VERSION, "sealed by a version of the door that this one does not know"
    opened = AESGCM(key).decrypt(blob[1 : 1 + _NONCE_BYTES], blob[1 + _NONCE_BYTES :], f"{event_id}|{member}".encode())
    fields: dict[str, Any] = orjson.loads(opened)
    return fields


def inbound_bytes(fact: ReadFact) -> bytes:
    """A fact as the NDJSON event it would be: what is kept, sealed, of one that the door refused.

    Its natural key stands beside, so that an id derived from it later is the same.
    """
    event: dict[str, Any] = {"specversion": "1.0", "source": fact.source, "type": fact.event.type_name()}
    optional = {
        "id": fact.producer_id, "plan": fact.plan, "payer": fact.payer, "time": fact.time,
        NATURAL_KEY: fact.natural_key,
    }  # fmt: skip
    event |= {name: value for name, value in optional.items() if value}
    event |= {"sensitivity": PART2} if fact.part2 else {}
    data = type(fact.event).__pydantic_serializer__.to_json(fact.event, exclude_defaults=True)
    return orjson.dumps(event | {"data": orjson.Fragment(data)})


def _refused(fact: ReadFact, code: str, reason: str, remedy: str, field: str) -> Reject:
    place = Place(fact.place.file, fact.place.line, fact.place.field or field)
    schema = schema_urn(type(fact.event))
    return Reject(place, code, reason, remedy, inbound_bytes(fact), fact.rows, schema=schema)


def _too_large(fact: ReadFact) -> Reject:
    return _refused(
        fact, "too_large", f"the record takes more than {MAX_FACT_BYTES} bytes", "send it in parts", "/data"
    )


def _findings(fact: ReadFact) -> bytes:
    """What a check has against a record, as it stands in the envelope: inside of a JSON text."""
    return orjson.dumps(" ".join(fact.findings)[:FINDINGS_MAX])[1:-1]


def _instant(text: str) -> bytes:
    """A time that was checked, as the log has it."""
    found = text if type(text) is Instant else _utc(text)
    assert found is not None, "it was checked"
    return found.encode()


@lru_cache(_TIMES_CACHED)
def _utc(text: str) -> str | None:
    """The instant in UTC to the millisecond; None when it is none, or has no offset."""
    try:
        instant = datetime.fromisoformat(text)
        if instant.tzinfo is None:
            return None
        return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except (ValueError, OverflowError):
        return None

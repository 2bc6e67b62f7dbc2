"""A practice's data of a period, put together for the payer's model: one patient's sealed part opened after the other.

That a patient's part is opened is in the operations topic before it is; what was put together is told there by its
digest and its counts, and kept nowhere. The document is the caller's, who answers for where it goes.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

import orjson
from cryptography.exceptions import InvalidTag

from contracts.envelope import Fact
from contracts.events import DataSubmissionBuilt, OperatorAct, PersonalDataRead
from contracts.period import Period
from contracts.reported_measures import counts
from contracts.submission import HEARD, Records
from formats.eom_bundle import Identity, bundle, measure_report, patient_resources, wrong
from projections.practice_patients import episodes_of, places_of
from streams.connections import Connections
from streams.door import unseal
from streams.keys import KeyDestroyed, KeyStore, UnknownSubject
from streams.practices import decoded, practices_of, records_at

NAMING = ("carepact.MemberDescribed.v1", "carepact.EnrollmentChanged.v1")
"""Facts that are asked first who a member is."""
ABOUT = "carepact.SociodemographicsRecorded.v1"
State = Callable[[OperatorAct], Awaitable[None]]


@dataclass(frozen=True)
class Asked:
    """What is to be put together, for whom, why, and when. `who` are the fields of every act of the operator."""

    payer: str
    practice: str
    period: int
    entity: str
    purpose: str
    on: date
    made_at: datetime
    who: Mapping[str, Any]


@dataclass
class Built:
    """The document, and what is told of it: counts of patients and of what they lack, never who they are."""

    document: bytes = field(repr=False)
    subjects: int
    withheld: Counter[str]
    incomplete: int
    lacking: Counter[str]
    measures: Mapping[str, tuple[int, int]]
    resources: int
    findings: tuple[str, ...]
    terms: str

    @property
    def digest(self) -> str:
        """SHA-256 of the document."""
        return hashlib.sha256(self.document).hexdigest()


async def build(connections: Connections, database: Any, keys: KeyStore, state: State, asked: Asked) -> Built:
    """Put a practice's period together. Patients who cannot be named are left out and counted, by reason."""
    sheet, _ = await practices_of(connections, database, asked.payer)
    period = Period.of(sheet, asked.period, "initial")
    elements = sheet.on("sociodemographic_elements", asked.on.isoformat()).value.split()
    rows = await episodes_of(database, asked.payer, asked.practice, period=asked.period)
    rows = [row for row in rows if not row["void_reason"] and not row["exclusion"]]
    places = await places_of(database, asked.payer, [row["member"] for row in rows], {*HEARD, ABOUT})
    records = await records_at(connections, asked.payer, places)
    known = Records(sheet)
    of: dict[str, list[tuple[Fact, bytes]]] = {}
    for fact, record in zip(decoded(asked.payer, records), records, strict=True):
        known.hear(fact)
        of.setdefault(fact.member, []).append((fact, record.value))
    del records
    resources: list[dict[str, Any]] = []
    windows: list[tuple[str, str]] = []
    withheld, lacking = Counter[str](), Counter[str]()
    incomplete = 0
    seen = []
    for row in rows:
        member, days = row["member"], (row["started_on"].isoformat(), row["ends_on"].isoformat())
        seen.append(known.seen(member, asked.practice, *days))
        await state(
            PersonalDataRead(**asked.who, what="submission", subject=member, purpose=asked.purpose)
        )  # before it is opened
        identity = _opened(keys, asked.payer, member, of.get(member, []), elements, asked.practice)
        if isinstance(identity, str):
            withheld[identity] += 1
            continue
        if missing := identity.lacks():
            withheld[f"no_{missing[0]}"] += 1
            continue
        one = known.reported(member, row["cancer_type"], *days)
        lacks = (*one.lacks, *(name for name in elements if name not in identity.about))
        lacking.update(lacks)
        incomplete += bool(lacks)
        windows.append(days)
        resources += patient_resources(len(windows), identity, one)
    measures = counts(sheet, seen)
    made_at = asked.made_at.isoformat(timespec="seconds")
    for measure, counted in measures.items():
        resources.append(measure_report(measure, counted, asked.practice, (period.first_on, period.last_on), made_at))
    document = bundle(resources, made_at)
    document["identifier"] = {"system": "urn:carepact:eom:entity", "value": asked.entity}
    built = Built(
        orjson.dumps(document), len(windows), withheld, incomplete, lacking, measures, len(resources),
        wrong(document, windows), sheet.version,
    )  # fmt: skip
    await state(
        DataSubmissionBuilt(
            **asked.who,
            practice=asked.practice,
            period=asked.period,
            digest=built.digest,
            subjects=built.subjects,
            withheld=withheld.total(),
            incomplete=incomplete,
            terms=sheet.version,
        )
    )
    return built


def _opened(
    keys: KeyStore, payer: str, member: str, facts: list[tuple[Fact, bytes]], elements: list[str], practice: str
) -> Identity | str:
    """Who a member is, by the newest facts that say so, and their own answers as far as asked; or why not."""
    try:
        key = keys.data_key(payer, member)
    except KeyDestroyed:
        return "erased"
    except UnknownSubject:
        return "no_key"
    told: dict[str, str] = {}
    about: dict[str, Any] = {}
    try:
        for value in _naming(facts):
            person = _unsealed(key, member, value).get("person") or {}
            identifier = person.get("identifier") or {}
            found = {**person, "mbi": identifier.get("value") if identifier.get("kind") == "mbi" else None}
            for name in ("mbi", "family_name", "given_name", "birth_date"):
                if found.get(name):
                    told.setdefault(name, found[name])
            if len(told) == 4:
                break
        if (latest := _about(facts, practice)) is not None:
            answers = _unsealed(key, member, latest).get("answers") or {}
            about = {name: answers[name] for name in elements if answers.get(name)}
    except InvalidTag:
        return "unreadable"
    mbi = told.get("mbi", "").replace("-", "").upper()
    family, given, born = (told.get(name, "") for name in ("family_name", "given_name", "birth_date"))
    return Identity(mbi, family, given, born, about)


def _naming(facts: list[tuple[Fact, bytes]]) -> Iterator[bytes]:
    """Records that may say who a member is: enrollment first, each kind from the newest on."""
    for first in (True, False):
        yield from (value for fact, value in reversed(facts) if (fact.type in NAMING) == first)


def _about(facts: list[tuple[Fact, bytes]], practice: str) -> bytes | None:
    """The newest answers of sociodemographic elements that stand; those of the practice, or of none named."""
    standing: dict[str, tuple[str, int, bytes]] = {}
    for n, (fact, value) in enumerate(facts):
        if fact.type != ABOUT:
            continue
        standing.pop(fact.data.record_id, None)
        if fact.data.status != "entered_in_error" and fact.data.practice in (None, practice):
            standing[fact.data.record_id] = fact.data.recorded_on.isoformat(), n, value
    return max(standing.values())[2] if standing else None


def _unsealed(key: bytes, member: str, value: bytes) -> dict[str, Any]:
    event = orjson.loads(value)
    return unseal(key, event["id"], member, event["sealed"]) if event.get("sealed") else {}

"""Audit packets: what a payment, an episode or a practice's period rests on, in one file that proves itself.

The facts as the log holds them, the terms among them, the payments as they were sent, each with its proof of inclusion;
a checkpoint that signs the heads; a page for readers; and `verify.py`, which needs nothing else. What a role may not
see is left out of a record and its hash stands in its place, so that the proof still holds.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from html import escape
from importlib.resources import files
from typing import Any
from uuid import UUID

import orjson

from contracts.events import TermsAdopted
from contracts.units import money
from streams.chain import content_digest
from streams.checkpoints import At, Leaves, Signer
from streams.connections import Connections
from streams.output import id_of
from streams.reading import grouped, log_reader
from streams.topics import log_topic, outcomes_topic, payments_topic, settlements_topic
from streams.verify_packet import FIXED, MANIFEST, SIGNATURE, archive, pack_name
from streams.verifying_log import records_of

ROLES = ("operator", "auditor", "payer", "practice", "subscriber")
"""A practice sees the payments to it, a subscriber what was released or settled with it, and both what concerns
everybody; facts about members and about others are withheld from them."""

Place = tuple[str, int, int]


class NothingToShow(Exception):
    """Nothing that was sent answers to what was asked for."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What a packet is about: one of payment, episode, member, practice with a period, or subscriber."""

    payer: str
    payment: str = ""
    episode: str = ""
    member: str = ""
    practice: str = ""
    period: int | None = None
    subscriber: str = ""

    @property
    def told(self) -> dict[str, Any]:
        """What is named."""
        named = {name: getattr(self, name) for name in self.__slots__}
        return {name: value for name, value in named.items() if value}


@dataclass
class Chosen:
    """What a packet shows: events as they were sent, by topic; where the facts stand that they rest on; documents."""

    sent: dict[str, set[str]] = field(default_factory=dict)
    payments: list[dict[str, Any]] = field(default_factory=list)
    outcomes: list[dict[str, Any]] = field(default_factory=list)
    places: set[Place] = field(default_factory=set)
    documents: dict[str, bytes] = field(default_factory=dict)

    def pay(self, topic: str, rows: Iterable[Any]) -> None:
        """Take in payments."""
        for row in rows:
            payment = orjson.loads(row["event"])["data"]
            self.payments.append(payment)
            self.sent.setdefault(topic, set()).add(payment["payment_id"])
            for at in (payment["position"], *(fact["position"] for fact in payment["facts"])):
                self.places.add((at["topic"], at["partition"], at["offset"]))


_PAYMENTS = """
    SELECT p.payment_id::text, p.episode_id::text, p.reverses::text, p.supersedes::text, p.event
      FROM payment p
     WHERE p.payer = $1 AND ($2::uuid IS NULL OR p.episode_id = $2) AND ($3 = '' OR p.member = $3)
       AND ($4 = '' OR p.practice = $4)
       AND ($5::int IS NULL OR EXISTS (
            SELECT FROM episode e WHERE e.episode_id = p.episode_id AND e.performance_period = $5))
     ORDER BY p.member, p.sequence
"""
_SETTLED = """
    SELECT p.payment_id::text, p.request_id, p.practice, p.plan, p.reverses::text, p.supersedes::text, p.event
      FROM settlement_payment p JOIN request r USING (payer, request_id)
     WHERE p.payer = $1 AND ($2 = '' OR p.practice = $2) AND ($3 = '' OR p.plan = $3)
       AND ($4::int IS NULL OR r.period = $4)
     ORDER BY p.plan, p.practice, p.log_offset, p.ordinal
"""
_ANSWERS = """
    SELECT s.settlement_id::text, s.pack, s.event
      FROM settlement s JOIN request r USING (payer, request_id)
     WHERE s.payer = $1 AND ($2 = '' OR s.practice = $2) AND ($3 = '' OR s.plan = $3)
       AND ($4::int IS NULL OR r.period = $4)
     ORDER BY s.log_offset, s.plan, s.practice
"""


async def chosen(database: Any, subject: Subject) -> Chosen:
    """What answers to a subject; of one payment, what it reverses, replaces or came to as well."""
    found = Chosen()
    if subject.subscriber:
        await _released(database, subject, found)
    else:
        await _paid(database, subject, found)
    if not (subject.episode or subject.member):
        await _settled(database, subject, found)
    await _terms(database, subject.payer, found)
    if not found.sent:
        raise NothingToShow(f"{subject.payer} has sent nothing about {subject.told}")
    return found


async def _paid(database: Any, subject: Subject, found: Chosen) -> None:
    """Payments that follow from members' facts."""
    episode, member = subject.episode or None, subject.member
    if subject.payment:
        member = await database.fetchval(
            "SELECT member FROM payment WHERE payment_id = $1 AND payer = $2", UUID(subject.payment), subject.payer
        )
        if member is None:
            return
    rows = await database.fetch(
        _PAYMENTS, subject.payer, UUID(episode) if episode else None, member, subject.practice, subject.period
    )
    found.pay(payments_topic(subject.payer), _linked(rows, subject.payment) if subject.payment else rows)


async def _settled(database: Any, subject: Subject, found: Chosen) -> None:
    """Payments of settlements, and the answers with the packs on which they rest."""
    topic, own = settlements_topic(subject.payer), (subject.practice, subject.subscriber, subject.period)
    rows = await database.fetch(_SETTLED, subject.payer, *own)
    if subject.payment:
        rows = _linked(rows, subject.payment)
        requests = {(row["practice"], row["plan"]) for row in rows}
        answers = [
            one for practice, plan in sorted(requests)
            for one in await database.fetch(_ANSWERS, subject.payer, practice, plan, None)
        ]  # fmt: skip
    else:
        answers = await database.fetch(_ANSWERS, subject.payer, *own)
    found.pay(topic, rows)
    for row in answers:
        answer = orjson.loads(row["event"])["data"]
        found.sent.setdefault(topic, set()).add(row["settlement_id"])
        if row["pack"] is not None:
            found.documents[pack_name(answer["pack_digest"])] = zlib.decompress(row["pack"])


async def _released(database: Any, subject: Subject, found: Chosen) -> None:
    """What an employer was told; the acts that released it hold what did not leave, and are not shown."""
    rows = await database.fetch(
        """
        SELECT event_id::text, event FROM employer_outcome WHERE payer = $1 AND plan = $2 ORDER BY ordinal, number
        """,
        subject.payer,
        subject.subscriber,
    )
    for row in rows:
        found.outcomes.append(orjson.loads(row["event"])["data"])
        found.sent.setdefault(outcomes_topic(subject.subscriber), set()).add(row["event_id"])


async def _terms(database: Any, payer: str, found: Chosen) -> None:
    """The terms adopted where payments rest: one need not name its own among its facts."""
    log = log_topic(payer)
    partitions = sorted({partition for topic, partition, _ in found.places if topic == log})
    rows = await database.fetch(
        """
        SELECT partition, log_offset FROM fact
         WHERE payer = $1 AND partition = ANY($2::int[]) AND member = '' AND type = $3
        """,
        payer,
        partitions,
        TermsAdopted.type_name(),
    )
    found.places |= {(log, row["partition"], row["log_offset"]) for row in rows}


def _linked(rows: Sequence[Any], payment: str) -> list[Any]:
    """A payment, and what it took back, replaced, or was taken back or replaced by."""
    wanted = {payment}
    for _ in rows:
        links = [{row["payment_id"], row["reverses"], row["supersedes"]} - {None} for row in rows]
        more = {name for link in links if link & wanted for name in link} | wanted
        if more == wanted:
            break
        wanted = more
    return [row for row in rows if row["payment_id"] in wanted]


async def made(
    connections: Connections,
    database: Any,
    subject: Subject,
    role: str,
    signer: Signer,
    checkpoint: Mapping[str, Any],
    leaves: Mapping[At, Leaves],
    at: datetime,
) -> bytes:
    """The packet, as the bytes of its zip file."""
    found = await chosen(database, subject)
    facts = await _facts(connections, found.places)
    sent = await _sent(connections, found.sent, leaves)
    shown = {
        "facts.json": [_record(record, leaves, role, subject) for record in facts],
        "payments.json": [_record(record, leaves, role, subject) for record in sent],
    }
    there = {name: orjson.dumps(records, option=orjson.OPT_INDENT_2) for name, records in shown.items()}
    there["report.html"] = _report(subject, role, found, shown, checkpoint).encode()
    there["verify.py"] = files("streams").joinpath("verify_packet.py").read_bytes()
    assert sorted(there) == sorted(FIXED)
    there |= found.documents
    manifest = {
        "version": 1,
        "made_at": at.isoformat(timespec="seconds"),
        "subject": subject.told,
        "role": role,
        "files": {name: sha256(data).hexdigest() for name, data in sorted(there.items())},
        "checkpoint": dict(checkpoint),
        "public_key": signer.public_key,
    }
    there[MANIFEST] = orjson.dumps(manifest, option=orjson.OPT_INDENT_2)
    there[SIGNATURE] = signer.sign(there[MANIFEST]).encode()
    return archive(there)


async def _facts(connections: Connections, places: Collection[Place]) -> list[Any]:
    """The records that payments rest on, and those that caused them."""
    if not places:
        return []
    async with log_reader(connections) as reader:
        found = await reader.records(grouped(places))
    return [found[place] for place in sorted(found)]


async def _sent(connections: Connections, sent: Mapping[str, set[str]], leaves: Mapping[At, Leaves]) -> list[Any]:
    """The records of output topics that are these, as far as the checkpoint covers them."""
    found = list[Any]()
    for (topic, partition), own in sorted(leaves.items()):
        if topic in sent and own.offsets:
            async for record in records_of(connections, topic, partition, 0, own.offsets[-1] + 1):
                if str(id_of(record.value)) in sent[topic]:
                    found.append(record)
    return found


def _record(record: Any, leaves: Mapping[At, Leaves], role: str, subject: Subject) -> dict[str, Any]:
    """A record with its proof; without its content where the role may not see it."""
    event = orjson.loads(record.value)
    own = leaves[record.topic, record.partition]
    index = own.index(record.offset)
    assert index is not None, "the checkpoint covers what the packet shows"
    told = {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp": record.timestamp,
        "type": event["type"],
        "event_id": event["id"],
        "content": content_digest(record.key, record.value, record.headers).hex(),
        "index": index,
        "path": [step.hex() for step in own.tree.inclusion(index)],
    }
    told |= {"fact_id": event["factid"]} if "factid" in event else {}
    if not _visible(event, role, subject):
        return told
    return told | {
        "key": None if record.key is None else record.key.decode(),
        "value": record.value.decode(),
        "headers": [[name, None if held is None else base64.b64encode(held).decode()] for name, held in record.headers],
    }


def _visible(event: Mapping[str, Any], role: str, subject: Subject) -> bool:
    """Whether a role may see an event: a practice or subscriber its own, and what is about nobody."""
    data = event["data"]
    if role == "practice":
        if event["type"].startswith("carepact.Payment"):
            return bool(data.get("practice") == subject.practice)
        return "subject" not in event and data.get("practice") in (None, "", subject.practice)
    if role == "subscriber":
        own = data.get("plan") or data.get("employer_id") or event.get("plan")
        return own == subject.subscriber if own else "subject" not in event
    return True


def _report(
    subject: Subject,
    role: str,
    found: Chosen,
    shown: Mapping[str, Sequence[Mapping[str, Any]]],
    checkpoint: Mapping[str, Any],
) -> str:
    """The packet for a reader: each payment with its lines, its dated values and the facts it rests on."""
    open_ids = {record["event_id"] for record in shown["payments.json"] if "value" in record}
    parts = [_HEAD.format(title=escape(f"Audit packet: {subject.payer}"))]
    about = ", ".join(f"{name} {value}" for name, value in subject.told.items())
    parts.append(
        f"<p>About {escape(about)}, for the role {escape(role)}. Checkpoint of {escape(checkpoint['at'])}.</p>"
    )
    for payment in found.payments:
        if payment["payment_id"] not in open_ids:
            continue
        title = f"{payment['kind']} for {payment['period']}: {money(payment['amount_cents'])}"
        parts.append(f"<h2>{escape(title)}</h2><p>payment {payment['payment_id']}, because of event {payment['cause']}")
        for name, words in (("reverses", "it takes back"), ("supersedes", "in place of")):
            parts.append(f"; {words} {payment[name]}" if payment.get(name) else "")
        parts.append("</p><table><tr><th>clause</th><th>how</th><th>amount</th></tr>")
        for line in payment["lines"]:
            cells = (line["clause"], f"{line['label']}: {line['arithmetic']}", money(line["amount_cents"]))
            parts.append("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in cells) + "</tr>")
            for term in line["terms"]:
                words = f"{term['name']} = {term['value']} {term['unit']} from {term['from']}; {term['source']}"
                parts.append(f"<tr><td></td><td class=term>{escape(words)}</td><td></td></tr>")
        parts.append("</table><p>It rests on</p><ul>")
        for fact in payment["facts"]:
            at = fact["position"]
            place = f"{at['topic']}[{at['partition']}] offset {at['offset']}"
            parts.append(f"<li>{escape(fact['says'])} <small>{escape(place)}, event {fact['event_id']}</small></li>")
        parts.append("</ul>")
    if found.outcomes:
        parts.append("<h2>What was released</h2><table><tr><th>figure</th><th>days</th><th>as shown</th></tr>")
    for outcome in found.outcomes:
        days, name = outcome["measurement_period"], " ".join((outcome["metric_id"], outcome["stratum"])).strip()
        value = outcome["value"] if outcome["numerator"] is None else outcome["numerator"]
        shown_as = "withheld" if outcome["suppression"] else "none" if value is None else value
        cells = (name, f"{days['from_on']} to {days['through_on']}, as of {outcome['as_of']}", shown_as)
        parts.append("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in cells) + "</tr>")
    parts.append("</table>" if found.outcomes else "")
    parts.append(
        "<p>Check this packet: <code>python -I -S verify.py</code> in its folder, or beside it.</p></body></html>"
    )
    return "".join(parts)


_HEAD = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; color: #222 }}
table {{ border-collapse: collapse; width: 100% }} td, th {{ text-align: left; border-top: 1px solid; padding: 4px }}
td:last-child {{ text-align: right; white-space: nowrap }} small, .term {{ color: #555; font-size: .85em }}
</style></head><body><h1>{title}</h1>"""

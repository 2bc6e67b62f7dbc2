"""Audit packets: what a payment, an episode or a practice's period rests on, in one file that proves itself.

The facts as the log holds them, the terms among them, the payments as they were sent, each with its proof of inclusion;
a checkpoint that signs the heads; a page for readers; and `verify.py`, which needs nothing else. What a role may not
see is left out of a record and its hash stands in its place, so that the proof still holds.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from html import escape
from importlib.resources import files
from typing import Any
from uuid import UUID

import orjson

from contracts.units import money
from streams.chain import content_digest
from streams.checkpoints import At, Leaves, Signer
from streams.connections import Connections
from streams.reading import grouped, log_reader
from streams.topics import payments_topic
from streams.verify_packet import FIXED, MANIFEST, SIGNATURE, archive
from streams.verifying_log import records_of

ROLES = ("operator", "auditor", "payer", "practice")
"""A practice sees the payments to it and what concerns everybody; members' facts are withheld from it."""


class NothingToShow(Exception):
    """No payment answers to what was asked for."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What a packet is about: one of payment, episode, member, or a practice with a performance period."""

    payer: str
    payment: str = ""
    episode: str = ""
    member: str = ""
    practice: str = ""
    period: int | None = None

    @property
    def told(self) -> dict[str, Any]:
        """What is named."""
        named = {name: getattr(self, name) for name in self.__slots__}
        return {name: value for name, value in named.items() if value}


_PAYMENTS = """
    SELECT p.payment_id::text, p.episode_id::text, p.reverses::text, p.supersedes::text, p.event
      FROM payment p
     WHERE p.payer = $1 AND ($2::uuid IS NULL OR p.episode_id = $2) AND ($3 = '' OR p.member = $3)
       AND ($4 = '' OR p.practice = $4)
       AND ($5::int IS NULL OR EXISTS (
            SELECT FROM episode e WHERE e.episode_id = p.episode_id AND e.performance_period = $5))
     ORDER BY p.member, p.sequence
"""


async def payments_of(database: Any, subject: Subject) -> list[dict[str, Any]]:
    """The payments that a packet shows, as they were emitted; of one payment, what it reverses, replaces or came to."""
    episode = subject.episode or None
    if subject.payment:
        episode = await database.fetchval(
            "SELECT episode_id::text FROM payment WHERE payment_id = $1 AND payer = $2",
            UUID(subject.payment), subject.payer,
        )  # fmt: skip
        if episode is None:
            raise NothingToShow(f"{subject.payer} has no payment {subject.payment}")
    rows = await database.fetch(
        _PAYMENTS, subject.payer, UUID(episode) if episode else None, subject.member, subject.practice, subject.period
    )
    if subject.payment:
        wanted = {subject.payment}
        for _ in rows:
            links = [{row[0], row[2], row[3]} - {None} for row in rows]
            more = {name for link in links if link & wanted for name in link} | wanted
            if more == wanted:
                break
            wanted = more
        rows = [row for row in rows if row[0] in wanted]
    if not rows:
        raise NothingToShow(f"{subject.payer} has no payment of {subject.told}")
    return [orjson.loads(row["event"])["data"] for row in rows]


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
    payments = await payments_of(database, subject)
    facts = await _facts(connections, payments)
    sent = await _sent(connections, subject.payer, {payment["payment_id"] for payment in payments}, leaves)
    shown = {
        "facts.json": [_record(record, leaves, role, subject) for record in facts],
        "payments.json": [_record(record, leaves, role, subject) for record in sent],
    }
    there = {name: orjson.dumps(records, option=orjson.OPT_INDENT_2) for name, records in shown.items()}
    there["report.html"] = _report(subject, role, payments, shown, checkpoint).encode()
    there["verify.py"] = files("streams").joinpath("verify_packet.py").read_bytes()
    assert sorted(there) == sorted(FIXED)
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


async def _facts(connections: Connections, payments: Sequence[Mapping[str, Any]]) -> list[Any]:
    """The records that payments rest on, and those that caused them."""
    places = [fact["position"] for payment in payments for fact in payment["facts"]]
    places += [payment["position"] for payment in payments]
    wanted = grouped({(at["topic"], at["partition"], at["offset"]) for at in places})
    async with log_reader(connections) as reader:
        found = await reader.records(wanted)
    return [found[place] for place in sorted(found)]


async def _sent(connections: Connections, payer: str, ids: set[str], leaves: Mapping[At, Leaves]) -> list[Any]:
    """The records of the payments' topic that are these, as far as the checkpoint covers them."""
    topic, found = payments_topic(payer), list[Any]()
    for (name, partition), own in sorted(leaves.items()):
        if name == topic and own.offsets:
            async for record in records_of(connections, topic, partition, 0, own.offsets[-1] + 1):
                if orjson.loads(record.value)["id"] in ids:
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
        "headers": [[name, base64.b64encode(value).decode()] for name, value in record.headers],
    }


def _visible(event: Mapping[str, Any], role: str, subject: Subject) -> bool:
    if role != "practice" or "subject" not in event:
        return True
    return bool(event["type"].startswith("carepact.Payment") and event["data"].get("practice") == subject.practice)


def _report(
    subject: Subject,
    role: str,
    payments: Iterable[Mapping[str, Any]],
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
    for payment in payments:
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
    parts.append(
        "<p>Check this packet: <code>python -I -S verify.py</code> in its folder, or beside it.</p></body></html>"
    )
    return "".join(parts)


_HEAD = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; color: #222 }}
table {{ border-collapse: collapse; width: 100% }} td, th {{ text-align: left; border-top: 1px solid; padding: 4px }}
td:last-child {{ text-align: right; white-space: nowrap }} small, .term {{ color: #555; font-size: .85em }}
</style></head><body><h1>{title}</h1>"""

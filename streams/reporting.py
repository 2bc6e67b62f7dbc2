"""The access report of one person: what is held, who read it, what was disclosed, and when it may be erased."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

from contracts.retention import Retention
from projections.access import derived, disclosed, erasures_of, reads_of
from streams.connections import Connections
from streams.held import held, rejects_naming
from streams.keys import KeyStore


async def report(
    reach: Connections,
    database: Any,
    keys: KeyStore,
    payer: str,
    token: str,
    today: date,
    duties: Retention,
    contract: str,
    *,
    opened: bool,
) -> dict[str, Any]:
    """What there is of the person whom a token means, as far as it is projected. `UnknownSubject` when there is none.

    With `opened` also what names them, in plain words. Note the read before.
    """
    tokens = keys.tokens_of(payer, token)
    found = await held(reach, database, keys, payer, tokens, today)
    named = (await rejects_naming(reach, keys, payer, found.naming))[0] if found.naming else []
    running = duties.running(contract, found.last_service_on, today)
    sealed: dict[str, Any] = {
        "facts": found.sealed,
        "destroyed": found.destroyed,
        "fields": sorted({*(f"person.{name}" for each in found.persons for name in _names(each)), *found.fields}),
    }
    return {
        "payer": payer,
        "plan": found.plan,
        "member": tokens[0],
        "tokens": list(tokens),
        "erased": set(tokens) <= set(keys.destroyed(payer)),
        "facts": [
            {
                "type": kind,
                "count": count,
                "first_on": _day(found.first_on.get(kind)),
                "last_on": _day(found.last_on.get(kind)),
            }
            for kind, count in sorted(found.facts.items())
        ],
        "sealed": sealed | ({"persons": found.persons, "said": found.fields} if opened else {}),
        "rejects": [{"reject_id": each.reject_id, "code": each.code} for each in named],
        "derived": await derived(database, payer, tokens),
        "reads": await reads_of(database, payer, [*tokens, *(each.reject_id for each in named)]),
        "disclosed": await disclosed(database, payer, tokens),
        "erasures": await erasures_of(database, payer, tokens[0]),
        "may_be_erased_on": max((each.ends_on for each in running), default=today).isoformat(),
        "duties": [each.as_document() for each in running],
    }


def _names(person: Mapping[str, Any]) -> Iterator[str]:
    yield from (name for name, said in person.items() if said is not None)


def _day(day: date | None) -> str | None:
    return day.isoformat() if day else None

"""The access log as commands write it: that a person's data are read is noted before they are shown (rules E.6).

Tokens, days and codes of one member are personal data too, though they name nobody.
"""

from __future__ import annotations

import hashlib
import re

import orjson
from aiokafka.errors import KafkaError

from carepact.local.errors import TryAgain
from carepact.settings import Settings, acting, connection
from contracts.events import PersonalDataRead
from contracts.events.operations import EVERY_PAYER
from streams.log_writer import LogWriter
from streams.operations import state
from streams.topics import OPERATOR

MANY = "-"
"""As the subject of a read that is of many members."""

SUBJECT = r"[a-z2-7]{26}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
"""A member's token, or the id of what was read."""
PURPOSE = "to operate the platform"


async def noted(
    settings: Settings,
    what: str,
    payer: str | None,
    subject: str | None = None,
    purpose: str = PURPOSE,
    **asked: object,
) -> None:
    """Have it in the operations topic that somebody reads; `asked` is what for. `TryAgain` when Kafka is away.

    What is neither a token nor an id may be a person's number that was typed in its place: it is not noted.
    """
    subject = subject if subject and re.fullmatch(SUBJECT, subject) else MANY
    said = {name: value for name, value in asked.items() if value not in (None, "", False)}
    query = hashlib.sha256(orjson.dumps([what, said], default=str, option=orjson.OPT_SORT_KEYS)).hexdigest()[:32]
    act = PersonalDataRead(
        payer=payer or EVERY_PAYER,
        by=acting(),
        what=what,
        subject=subject,
        purpose=purpose.strip() or PURPOSE,
        query=query,
    )
    try:
        async with LogWriter(connection(settings, OPERATOR), "carepact.reads") as writer:
            await state(writer, settings.load_roster(), act)
    except (KafkaError, TimeoutError) as error:
        told = f"Kafka does not answer ({type(error).__name__}), and what is read of a person is noted there first"
        raise TryAgain(told) from None

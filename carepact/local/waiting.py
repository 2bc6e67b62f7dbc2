"""Returns when everything published so far is projected and relayed."""

from __future__ import annotations

import asyncio
import time

from carepact.local.errors import TryAgain
from carepact.local.status import behind, ends, stored, taken_in, watched
from carepact.settings import Settings

ASK_AGAIN_SECONDS = 0.2


async def wait(settings: Settings, timeout_seconds: float = 120) -> None:
    """Wait until each consumer has reached the topics' ends as they are now, and the outbox is empty.

    `TryAgain` after the time-out names what is behind. What is published meanwhile is not waited for, but for what
    intake makes of records that are in the inboxes now. A store that does not answer is asked again.
    """
    until = time.monotonic() + timeout_seconds
    at = await ends(settings)
    inboxes, taking = [topic.name for topic in watched(settings) if topic.kind == "inbox"], False
    taken = None
    while True:
        reason = "Kafka does not answer"
        at = await ends(settings) if at is None else at
        if taken is None or taking:  # what intake had taken it has taken still, and to ask Kafka is dear
            taken = await taken_in(settings)
        found = await stored(settings)
        if at is not None and found is None:
            reason = "PostgreSQL does not answer"
        elif at is not None and taken is not None and found is not None:
            late = {topic: count for topic, count in behind(settings, at, found, taken).items() if count}
            if any(inbox in late for inbox in inboxes):
                taking = True
            elif taking:  # all of it is in the logs, or in the rejects, whose ends have moved by it
                taking, at, taken = False, None, None
                continue
            elif not late and not found["outbox_pending"]:
                return
            waiting = [f"{topic} by {count}" for topic, count in late.items()]
            waiting += [f"the outbox by {found['outbox_pending']}"] if found["outbox_pending"] else []
            reason = f"behind: {', '.join(waiting)}"
        if time.monotonic() > until:
            raise TryAgain(f"not done after {timeout_seconds:g} s: {reason}")
        await asyncio.sleep(ASK_AGAIN_SECONDS)

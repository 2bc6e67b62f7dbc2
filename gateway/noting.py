"""The access log as the gateway writes it: that a caller reads personal data is noted before it is answered."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from contracts.events import OperatorAct, PersonalDataRead
from contracts.events.operations import EVERY_PAYER
from gateway.principals import Principal

NOTED_SECONDS = 60.0
"""A reader that asks on is noted once in so long."""

READERS_KEPT = 10_000
MANY = "-"


class Accesses:
    """Who was noted as reading what, and when."""

    def __init__(
        self, state: Callable[[OperatorAct], Awaitable[object]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._state, self._clock = state, clock
        self._noted: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._noting: dict[tuple[str, str], asyncio.Lock] = {}

    async def note(self, caller: Principal, what: str) -> None:
        """Have it in the operations topic before this returns, once in `NOTED_SECONDS` of each caller."""
        at = str(caller), what
        if self._is_noted(at):
            return
        async with self._noting.setdefault(at, asyncio.Lock()):
            if self._is_noted(at):
                return
            holder = {"payer": caller.payer or EVERY_PAYER, "plan": caller.plan, "by": caller.by}
            said = "what is its own, over HTTP"
            await self._state(PersonalDataRead(**holder, what=what, subject=MANY, purpose=said))
            self._noted[at] = self._clock()
            self._noted.move_to_end(at)
            if len(self._noted) > READERS_KEPT:
                self._noting.pop(self._noted.popitem(last=False)[0], None)

    def _is_noted(self, at: tuple[str, str]) -> bool:
        return (last := self._noted.get(at)) is not None and self._clock() - last < NOTED_SECONDS

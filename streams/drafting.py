"""What a draft of a plan's terms would have cost its employer, told through the disclosure gate once in each window.

The history is the payer's log as far as the last funding call that moved counts it: what is not paid for yet is not
told of. What is told is stated in the operations topic first, as a release is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from contracts.disclosure_drafts import draft_call
from contracts.drafts import Change
from contracts.events import DraftPriced
from contracts.terms import digest_of
from streams.operations import state
from streams.releasing import CannotRelease, Desk, acts, alone, releases
from streams.what_if import NONE, Imagining, World


async def draft(desk: Desk, sheet: Mapping[str, Any]) -> tuple[DraftPriced, bool]:
    """What is told of a draft in the window that is open, and whether it was made now; another waits for the next.

    Raises `CannotRelease`, and `CannotFold` where the history cannot be folded under the draft.
    """
    head, digest = sheet["sheet"], digest_of(dict(sheet))
    if head["contract"] != desk.payer.contract:
        raise CannotRelease(f"the draft is of {head['contract']}, and {desk.plan} is under {desk.payer.contract}")
    async with alone(desk):
        before = await releases(desk.connections, desk.roster, desk.plan)
        moved = next((one for one in reversed(before) if one.call_cents is not None), None)
        if moved is None:
            raise CannotRelease(f"no funding call of {desk.plan} has moved yet; a draft is told of what was paid for")
        last = before[-1]
        for told in await acts(desk.connections, desk.roster, desk.plan, DraftPriced):
            if told.ordinal == last.ordinal and told.sheet_digest == digest:
                return told, False
            if told.ordinal == last.ordinal:
                raise CannotRelease(
                    f"a draft was told in this window of {desk.plan} already; another waits for the next"
                )
        imagining = Imagining(desk.payer, NONE, Change(sheet=sheet, plan=None))  # the plan may have no sheet of its own
        await imagining.read(desk.connections, {int(part): offset for part, offset in moved.call_cut.items()})
        call = draft_call(_of(imagining.before, desk.plan), _of(imagining.after, desk.plan))
        act = DraftPriced(
            payer=desk.payer.name,
            plan=desk.plan,
            by=desk.by,
            contract=desk.payer.contract,
            ordinal=last.ordinal,
            sheet_version=head["version"],
            sheet_digest=digest,
            cut=moved.call_cut,
            amount_cents=call.amount_cents,
            rule=call.rule,
        )
        await state(desk.writer, desk.roster, act)
        return act, True


def _of(world: World, plan: str) -> dict[tuple[str, str, int], int]:
    return {(member, kind, price): units for (of, member, kind, price), units in world.owed.items() if of == plan}

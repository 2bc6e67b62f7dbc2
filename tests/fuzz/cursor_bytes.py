"""What must hold of any cursor that a subscriber shows; `python -m tests.fuzz.cursor_bytes 60` looks for others.

Bytes are a cursor by themselves, and changes to one that was given: pairs of a place and what is put there.
"""

from __future__ import annotations

import sys
from uuid import UUID

from gateway.cursors import BadCursor, opened, sealed
from projections.feed import Place
from projections.tenancy import Tenant
from tests.fuzz.looking import look

KEY, ACME, ZENITH = bytes(32), Tenant("employer", "employers", "acme"), Tenant("employer", "employers", "zenith")
PLACE = Place(-7, 2**40, "acme", 12, UUID(int=5))
GIVEN = sealed(KEY, ACME, PLACE)


def holds(sent: bytes) -> None:
    """Raises where one that was not given opens, or the right one does not."""
    changed = list(GIVEN)
    for at, put in zip(sent[::2], sent[1::2], strict=False):
        changed[at % len(changed)] = chr(put)
    for cursor in (sent.decode("latin-1"), sent.decode("utf-8", "replace"), "".join(changed), GIVEN):
        for tenant in (ACME, ZENITH):
            try:
                found = opened(KEY, tenant, cursor)
            except BadCursor:
                assert cursor != GIVEN or tenant is not ACME, "its own cursor is refused"
                continue
            assert (found, tenant) == (PLACE, ACME), "a cursor that was not given opens"


if __name__ == "__main__":
    look("cursor_bytes", "cursors", *sys.argv[1:])

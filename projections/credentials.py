"""Which keys of the gateway's callers there are, and which are in force."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_COLUMNS = """
    SELECT credential_id, role, payer, plan, practice, name, scopes, secret_digest, created_at, created_by, expires_at,
           revoked_at, revoked_by, revoked_why
      FROM credential
"""


async def in_force(database: Any) -> Sequence[Any]:
    """Those not revoked. Whether one has expired is the caller's to ask: time passes without an event."""
    rows: Sequence[Any] = await database.fetch(f"{_COLUMNS} WHERE revoked_at IS NULL")
    return rows


async def credentials(database: Any) -> Sequence[Any]:
    """All that ever were, oldest first."""
    rows: Sequence[Any] = await database.fetch(f"{_COLUMNS} ORDER BY created_at, credential_id")
    return rows

"""Cursors of feeds: where a reader stands, sealed for that reader alone.

AES-256-GCM binds each to the subscriber, so that one made up, changed or of another subscriber is refused, and nobody
learns from one how much was written for others.
"""

from __future__ import annotations

import base64
import binascii
import os
import struct
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from projections.feed import Place
from projections.tenancy import Tenant

PURPOSE = "feed cursors"
"""Of the key store's key."""

_NONCE_BYTES = 12
_FIXED = struct.Struct(">qQq16s")


class BadCursor(Exception):
    """It is none of this subscriber's."""


def sealed(key: bytes, tenant: Tenant, place: Place) -> str:
    """The cursor of a place."""
    nonce = os.urandom(_NONCE_BYTES)
    fixed = _FIXED.pack(place.history, place.made_by, place.sequence, place.event_id.bytes)
    text = AESGCM(key).encrypt(nonce, fixed + place.subject.encode(), _bound(tenant))
    return base64.urlsafe_b64encode(nonce + text).decode("ascii").rstrip("=")


def opened(key: bytes, tenant: Tenant, cursor: str) -> Place:
    """The place of a cursor; `BadCursor` when it is not one that was given to this subscriber."""
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        plain = AESGCM(key).decrypt(text[:_NONCE_BYTES], text[_NONCE_BYTES:], _bound(tenant))
    except (binascii.Error, InvalidTag, ValueError):
        raise BadCursor from None
    history, made_by, sequence, event_id = _FIXED.unpack_from(plain)
    return Place(history, made_by, plain[_FIXED.size :].decode(), sequence, UUID(bytes=event_id))


def _bound(tenant: Tenant) -> bytes:
    return "\0".join((tenant.role, tenant.payer, tenant.plan, tenant.practice)).encode()

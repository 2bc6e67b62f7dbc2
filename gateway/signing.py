"""Secrets of webhooks, and signatures by them as Standard Webhooks has it.

A secret is `whsec_` and 32 random bytes, shown once. What is kept is sealed under a key of the key store, bound to its
endpoint.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from standardwebhooks import Webhook

PURPOSE = "webhook secrets"
"""Of the key store's key."""

SECRET_BYTES = 32
PREFIX = "whsec_"
_NONCE_BYTES = 12


def new_secret() -> str:
    """A random secret."""
    return PREFIX + base64.b64encode(os.urandom(SECRET_BYTES)).decode("ascii")


def sealed_secret(key: bytes, endpoint_id: UUID, secret: str) -> bytes:
    """What is kept of a secret."""
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, secret.encode(), endpoint_id.bytes)


def opened_secret(key: bytes, endpoint_id: UUID, kept: bytes) -> str:
    """The secret that was sealed for this endpoint."""
    return AESGCM(key).decrypt(kept[:_NONCE_BYTES], kept[_NONCE_BYTES:], endpoint_id.bytes).decode()


def headers(signers: Iterable[Webhook], message_id: str, at: datetime, body: bytes) -> dict[str, str]:
    """The headers of a delivery, with one signature for each secret."""
    text = body.decode()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(each.sign(message_id, at, text) for each in signers),
        "content-type": "application/cloudevents+json; charset=UTF-8",
    }

"""A key management service that holds the key above the wrapping keys: HashiCorp Vault's transit engine, or OpenBao's.

The service encrypts and decrypts 32 bytes at a time, and its key never leaves it. The version of its key is part of
what it answers (`vault:v3:...`), so that a key rotated there still opens what was encrypted before, until
`min_decryption_version` is raised.
"""

from __future__ import annotations

import base64
import http.client
import json
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, urlsplit

from streams.key_errors import KeyStoreAway, KeyStoreError

ANSWER_SECONDS = 10
ANSWER_BYTES_MAX = 65_536
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_AWAY_FROM = 500
_TOO_MANY = 429


class Kms(Protocol):
    """What keeps a key of its own and never gives it away. Calls block."""

    def encrypted(self, key: bytes) -> str:
        """The key as the service encrypted it: ASCII without blanks."""

    def decrypted(self, text: str) -> bytes:
        """The key again. `KeyStoreError` when the service refuses, `KeyStoreAway` when it does not answer."""


class VaultTransit:
    """A key of the transit engine, named by its address: `https://vault.example:8200/v1/transit/keys/carepact`.

    The token is read anew for each call, as an agent renews it in its file. Redirects are not followed: they would
    carry the token elsewhere.
    """

    def __init__(
        self, address: str, token: Callable[[], str], ca_file: Path | None = None, namespace: str = ""
    ) -> None:
        parts = urlsplit(address)
        mount, keys, name = parts.path.rpartition("/keys/")
        if parts.scheme not in ("http", "https") or not parts.hostname or not keys or not name or "/" in name:
            raise KeyStoreError("CAREPACT_KMS is https://HOST[:PORT]/v1/MOUNT/keys/NAME, a key of a transit engine")
        if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
            raise KeyStoreError("CAREPACT_KMS is reached by https, or on this machine: the answer is a key")
        self._host, self._port = parts.hostname, parts.port
        self._mount, self._name = mount, quote(name, safe="-_.")
        self._token, self._namespace = token, namespace
        self._tls = ssl.create_default_context(cafile=ca_file) if parts.scheme == "https" else None

    def encrypted(self, key: bytes) -> str:
        """See `Kms.encrypted`."""
        told = self._asked("encrypt", {"plaintext": base64.b64encode(key).decode("ascii")})
        text = told.get("ciphertext")
        if not isinstance(text, str) or not text.isascii() or not text.isprintable() or " " in text:
            raise KeyStoreError("the KMS answered no ciphertext")
        return text

    def decrypted(self, text: str) -> bytes:
        """See `Kms.decrypted`."""
        plain = self._asked("decrypt", {"ciphertext": text}).get("plaintext")
        try:
            return base64.b64decode(str(plain), validate=True)
        except ValueError:
            raise KeyStoreError("the KMS answered no key") from None

    def _asked(self, verb: str, body: dict[str, str]) -> dict[str, Any]:
        """One call; errors carry the status and never what was sent or answered."""
        headers = {"X-Vault-Token": self._token(), "Content-Type": "application/json"}
        headers |= {"X-Vault-Namespace": self._namespace} if self._namespace else {}
        connection = (
            http.client.HTTPSConnection(self._host, self._port, timeout=ANSWER_SECONDS, context=self._tls)
            if self._tls
            else http.client.HTTPConnection(self._host, self._port, timeout=ANSWER_SECONDS)
        )
        try:
            connection.request("POST", f"{self._mount}/{verb}/{self._name}", json.dumps(body), headers)
            answer = connection.getresponse()
            text = answer.read(ANSWER_BYTES_MAX)
        except ssl.SSLCertVerificationError:
            raise KeyStoreError("the KMS shows a certificate that is not trusted; see CAREPACT_KMS_CA_FILE") from None
        except (OSError, http.client.HTTPException) as error:
            raise KeyStoreAway(f"the KMS does not answer ({type(error).__name__})") from None
        finally:
            connection.close()
        if answer.status >= _AWAY_FROM or answer.status == _TOO_MANY:
            raise KeyStoreAway(f"the KMS answers {answer.status}: it is sealed, or has too much to do")
        if answer.status != http.client.OK:
            raise KeyStoreError(f"the KMS refuses to {verb} (status {answer.status}); look at its token and policy")
        try:
            data = json.loads(text)["data"]
        except (ValueError, KeyError, TypeError):
            raise KeyStoreError("the KMS answered something else than the transit engine does") from None
        return data if isinstance(data, dict) else {}

"""Wrapping keys under a KMS: the real client against a server that speaks the transit API, and what it may answer."""

from __future__ import annotations

import base64
import json
import os
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.x509.oid import NameOID

from streams.keys import KeyStoreAway, KeyStoreError, SqliteKeyStore
from streams.kms import VaultTransit
from streams.wrapping import WrappingKeys

JANE = b"\x01" * 32
TOKEN = "s.right"


class Transit(ThreadingHTTPServer):
    """`/v1/transit/encrypt|decrypt/carepact` as Vault documents them; `says` is answered in their place."""

    daemon_threads = True

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        if context:
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self.scheme = "https" if context else "http"
        self.key = AESGCM(os.urandom(32))
        self.says: tuple[int, bytes] | None = None
        self.asked: list[str] = []
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that does not trust us hangs up."""

    @property
    def address(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.server_address[1]}/v1/transit/keys/carepact"


class Answering(BaseHTTPRequestHandler):
    server: Transit

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(self.path)
        status, answer = self.server.says or self.answer(body)
        self.send_response(status)
        if status in (301, 307):
            self.send_header("Location", "http://127.0.0.1:1/elsewhere")
        self.end_headers()
        self.wfile.write(answer)

    def answer(self, body: dict[str, str]) -> tuple[int, bytes]:
        if self.headers["X-Vault-Token"] != TOKEN:
            return 403, b'{"errors":["permission denied"]}'
        if self.path == "/v1/transit/encrypt/carepact":
            nonce = os.urandom(12)
            sealed = nonce + self.server.key.encrypt(nonce, base64.b64decode(body["plaintext"]), None)
            return 200, _data("ciphertext", "vault:v1:" + base64.b64encode(sealed).decode())
        if self.path == "/v1/transit/decrypt/carepact":
            sealed = base64.b64decode(body["ciphertext"].removeprefix("vault:v1:"))
            plain = self.server.key.decrypt(sealed[:12], sealed[12:], None)
            return 200, _data("plaintext", base64.b64encode(plain).decode())
        return 404, b'{"errors":["no handler for route"]}'

    def log_message(self, *_: Any) -> None:
        """Nothing is said."""


def _data(name: str, value: str) -> bytes:
    return json.dumps({"request_id": "x", "lease_id": "", "data": {name: value, "key_version": 1}}).encode()


@pytest.fixture
def transit() -> Iterator[Transit]:
    server = Transit()
    yield server
    server.shutdown()
    server.server_close()


def client_of(server: Transit, token: str = TOKEN, ca_file: Path | None = None) -> VaultTransit:
    return VaultTransit(server.address, lambda: token, ca_file)


def opened(path: Path, kms: VaultTransit | None) -> SqliteKeyStore:
    return SqliteKeyStore(path, WrappingKeys.beside(path, {}, kms))


def test_a_store_opens_with_the_kms_and_not_without(transit: Transit, tmp_path: Path) -> None:
    path, kms = tmp_path / "keys", client_of(transit)
    kept = opened(path, kms).subjects("medicare", [JANE])
    assert (tmp_path / "keys.wrapping").read_text().startswith("kms:vault:v1:")
    assert opened(path, kms).subjects("medicare", [JANE]) == kept
    with pytest.raises(KeyStoreError, match="name it by CAREPACT_KMS"):
        opened(path, None)


def test_the_kms_is_asked_once_a_process_and_not_for_each_member(transit: Transit, tmp_path: Path) -> None:
    store = opened(tmp_path / "keys", client_of(transit))
    asked = len(transit.asked)
    store.subjects("medicare", [bytes([n]) * 32 for n in range(100)])
    transit.says = 503, b""
    store.subjects("medicare", [bytes([n]) * 32 for n in range(200)])
    assert len(transit.asked) == asked
    with pytest.raises(KeyStoreAway, match="answers 503"):
        opened(tmp_path / "keys", client_of(transit))


def test_a_rotation_moves_a_store_from_its_file_to_the_kms_and_on(transit: Transit, tmp_path: Path) -> None:
    path, kms = tmp_path / "keys", client_of(transit)
    plain = opened(path, None)
    kept = plain.subjects("medicare", [JANE])
    plain.close()
    for _ in range(2):
        before = (tmp_path / "keys.wrapping").read_text()
        opened(path, kms).rotate_wrapping_key()
        (line,) = (tmp_path / "keys.wrapping").read_text().split()
        assert line.startswith("kms:vault:v1:") and line not in before
        assert opened(path, kms).subjects("medicare", [JANE]) == kept


@pytest.mark.parametrize(
    ("status", "answer", "said", "kind"),
    [
        (403, b'{"errors":["permission denied"]}', "refuses to encrypt .status 403", KeyStoreError),
        (400, b"", "status 400", KeyStoreError),
        (429, b"", "too much to do", KeyStoreAway),
        (503, b'{"errors":["Vault is sealed"]}', "sealed", KeyStoreAway),
        (307, b"", "status 307", KeyStoreError),
        (200, b"not json", "something else", KeyStoreError),
        (200, b'{"data":{}}', "no ciphertext", KeyStoreError),
        (200, b'{"data":{"ciphertext":"two words"}}', "no ciphertext", KeyStoreError),
        (200, b'{"data":[]}', "no ciphertext", KeyStoreError),
    ],
)
def test_what_a_kms_may_answer_is_named(
    transit: Transit, status: int, answer: bytes, said: str, kind: type[Exception]
) -> None:
    transit.says = status, answer
    with pytest.raises(kind, match=said):
        client_of(transit).encrypted(b"k" * 32)


def test_a_wrong_token_and_a_service_that_is_away_open_nothing(transit: Transit) -> None:
    with pytest.raises(KeyStoreError, match="status 403") as refused:
        client_of(transit, "s.wrong").decrypted("vault:v1:AAAA")
    assert "s.wrong" not in str(refused.value)
    transit.shutdown()
    transit.server_close()
    with pytest.raises(KeyStoreAway, match="does not answer"):
        client_of(transit).encrypted(b"k" * 32)


def test_a_certificate_must_be_trusted(tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    made = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(name, name, made.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(made, hashes.SHA256())
    )
    certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    key.write_bytes(made.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = Transit(context)
    try:
        kms = client_of(server, ca_file=certificate)
        assert kms.decrypted(kms.encrypted(b"k" * 32)) == b"k" * 32
        with pytest.raises(KeyStoreError, match="not trusted"):
            client_of(server).encrypted(b"k" * 32)
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    "address",
    ["vault.example", "ftp://vault.example/v1/transit/keys/k", "https://vault.example/v1/transit", "https:///v1/t/keys/k",
     "http://vault.example/v1/transit/keys/k", "https://vault.example/v1/transit/keys/a/b"],
)  # fmt: skip
def test_an_address_that_is_none_or_is_open_to_all_is_refused(address: str) -> None:
    with pytest.raises(KeyStoreError, match="CAREPACT_KMS"):
        VaultTransit(address, lambda: TOKEN)

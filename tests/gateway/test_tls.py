"""A certificate and a key are enough to serve by TLS, and the supervisor sees that it answers."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from carepact.gateway_command import server_of
from carepact.local.gateway import Gateway
from carepact.local.home import Home, free_ports
from carepact.settings import Settings
from tests.end_to_end.harness import until
from tests.gateway.served import app_of


def certificate(folder: Path, host: str = "gateway") -> tuple[Path, Path]:
    """A certificate that signs itself, for this machine and a name, and its key."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gateway")])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(days=1), now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1")), x509.DNSName(host)]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    files = folder / "certificate.pem", folder / "key.pem"
    files[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    files[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    return files


async def test_the_gateway_serves_by_tls_and_not_beside_it(tmp_path: Path) -> None:
    public, private = certificate(tmp_path)
    settings = Settings(home=tmp_path, gateway_tls_certificate=public, gateway_tls_key=private)
    (port,) = free_ports(1)
    part = Gateway(Home(tmp_path), "127.0.0.1", port, tls=True)
    assert part.url == f"https://127.0.0.1:{port}"
    assert not await part.answers()
    server = server_of(settings, app_of(tmp_path), port)
    serving = asyncio.create_task(server.serve())
    try:
        await until(part.answers, "the gateway answers by TLS")
        trusting = ssl.create_default_context(cafile=str(public))
        async with httpx.AsyncClient(verify=trusting) as client:
            assert (await client.get(f"{part.url}/health/live")).json() == {"status": "live"}
        assert not await Gateway(Home(tmp_path), "127.0.0.1", port).answers()
    finally:
        server.should_exit = True
        await serving

"""How one principal reaches Kafka and PostgreSQL, in the words of each client library."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg

BROKEN = (asyncpg.InterfaceError, asyncpg.InternalClientError)
"""What asyncpg raises on a connection that is gone or out of step, as after its process was stopped for a while."""


class NoAccess(Exception):
    """This principal has no way to the part it asked for."""


@dataclass(frozen=True)
class Connections:
    """Addresses and credentials of one principal. Passwords stay out of `repr`, and so out of logs."""

    principal: str
    bootstrap: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    mechanism: str = "SCRAM-SHA-512"
    tls: bool = False
    ca_file: Path | None = None
    dsn: str | None = field(default=None, repr=False)

    @property
    def postgres(self) -> str:
        """The data source name of this principal's database role; payers and plans have none."""
        if self.dsn is None:
            raise NoAccess(f"principal {self.principal!r} has no access to PostgreSQL")
        return self.dsn

    @property
    def security_protocol(self) -> str:
        """Kafka's name for the pair of TLS and SASL in use."""
        return ("SASL_" if self.username else "") + ("SSL" if self.tls else "PLAINTEXT")

    def aiokafka(self) -> dict[str, Any]:
        """Keyword arguments for `AIOKafkaProducer` and `AIOKafkaConsumer`."""
        arguments: dict[str, Any] = {
            "bootstrap_servers": self.bootstrap,
            "security_protocol": self.security_protocol,
        }
        if self.username:
            arguments |= {
                "sasl_mechanism": self.mechanism,
                "sasl_plain_username": self.username,
                "sasl_plain_password": self.password,
            }
        if self.tls:
            arguments["ssl_context"] = self._tls_context()
        return arguments

    def confluent(self) -> dict[str, Any]:
        """The configuration for confluent-kafka's clients."""
        config: dict[str, Any] = {
            "bootstrap.servers": self.bootstrap,
            "security.protocol": self.security_protocol,
        }
        if self.username:
            config |= {
                "sasl.mechanism": self.mechanism,
                "sasl.username": self.username,
                "sasl.password": self.password,
            }
        if self.ca_file:
            config["ssl.ca.location"] = str(self.ca_file)
        return config

    @property
    def faust_broker(self) -> list[str]:
        """The `broker` argument of a Faust app."""
        return [f"kafka://{server.strip()}" for server in self.bootstrap.split(",")]

    def faust_credentials(self) -> Any:
        """The `broker_credentials` argument of a Faust app: None where Kafka asks for none."""
        import faust  # noqa: PLC0415 - most callers never start an app

        context = self._tls_context() if self.tls else None
        if self.username:
            return faust.SASLCredentials(
                username=self.username, password=self.password, mechanism=self.mechanism, ssl_context=context
            )
        return faust.SSLCredentials(context) if context else None

    def _tls_context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.ca_file) if self.ca_file else None)

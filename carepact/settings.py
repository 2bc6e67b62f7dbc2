"""What a process is told by its environment, and how it reaches Kafka and PostgreSQL by it."""

from __future__ import annotations

import getpass
import os
from pathlib import Path
from typing import Annotated
from urllib.parse import quote, urlsplit, urlunsplit

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from carepact.local.errors import NotStarted, Refused
from carepact.local.home import Home
from carepact.local.postgres import AGENT, OWNER, READER, Postgres
from contracts.errors import ContractError
from contracts.retention import Retention, bundled_retention
from streams.connections import Connections
from streams.keys import SqliteKeyStore, WrappedKeyStore, WrappingKeys
from streams.kms import Kms, VaultTransit
from streams.postgres_keys import PostgresKeyStore
from streams.roster import Roster
from streams.topics import AGENTS, GATEWAY, OPERATOR, PLATFORM

PARTITIONS = 4
ROLES = {PLATFORM: OWNER, AGENTS: AGENT, OPERATOR: READER, GATEWAY: READER}


class Settings(BaseSettings):
    """Each field is read from `CAREPACT_` and its name in capitals; an argument given in code goes first."""

    model_config = SettingsConfigDict(
        env_prefix="CAREPACT_", env_ignore_empty=True, frozen=True, extra="ignore", hide_input_in_errors=True
    )

    home: Path = Path("~/.local/share/carepact")
    kafka: str | None = None  # bootstrap servers that replace the local broker
    kafka_user: str | None = None  # without one, each principal signs in by its own name
    kafka_password: SecretStr | None = None
    kafka_password_file: Path | None = None
    kafka_mechanism: str = "SCRAM-SHA-512"
    kafka_tls: bool = False
    kafka_ca_file: Path | None = None
    postgres: SecretStr | None = None  # a data source name that replaces the local database
    keys: SecretStr | None = None  # the key store, a file or a database of its own; a home has its own
    wrapping_key_file: Path | None = None  # of a key store in a database; one in a file has it beside
    kms: str | None = None  # a key of Vault's transit engine, which the wrapping keys lie under
    kms_token: SecretStr | None = None
    kms_token_file: Path | None = None  # read for each call, as an agent renews it
    kms_ca_file: Path | None = None
    kms_namespace: str = ""
    retention: Path | None = None  # a file of duties to keep, in place of the shipped one
    maven: str | None = None  # a mirror in place of Maven Central
    kafka_jars: Path | None = None  # a folder that has the broker's jars
    partitions: Annotated[int | None, Field(ge=1, le=1000)] = None  # of each log, when it is made
    roster: Path | None = None
    checkpoint_seconds: Annotated[int, Field(ge=0)] = 900  # between signed heads of logs that moved; 0: none
    gateway_host: str = "127.0.0.1"  # the address that the gateway listens on
    gateway_port: Annotated[int | None, Field(ge=1, le=65_535)] = None
    gateway_tls_certificate: Path | None = None  # with its chain; both, or plain HTTP
    gateway_tls_key: Path | None = None
    gateway_oidc: Path | None = None  # a TOML file of trusted issuers
    gateway_body_bytes: Annotated[int, Field(ge=1_000)] = 32_000_000
    gateway_file_bytes: Annotated[int, Field(ge=1_000)] = 8_000_000_000
    gateway_requests_per_second: Annotated[float, Field(gt=0)] = 100  # of one caller
    gateway_streams: Annotated[int, Field(ge=0, le=50_000)] = 2_000  # open at once
    webhooks_private: bool = False  # endpoints may be on private addresses and by plain HTTP: for tests
    webhooks_ca_file: Path | None = None  # of certificates of endpoints, in place of the system's

    @property
    def home_folder(self) -> Home:
        """The home as the folder it is."""
        return Home(self.home)

    @field_validator("keys", mode="before")
    @classmethod
    def _as_text(cls, keys: object) -> object:
        return str(keys) if isinstance(keys, Path) else keys

    @property
    def keys_database(self) -> str | None:
        """The database that `CAREPACT_KEYS` names, with the password of the home if it names a user without one."""
        named = self.keys.get_secret_value() if self.keys else ""
        if not named.startswith(("postgresql://", "postgres://")):
            return None
        parts = urlsplit(named)
        file = self.home_folder.secrets / "postgres-keys"
        if not parts.username or parts.password or not file.exists():
            return named
        password = quote(file.read_text(encoding="ascii").strip(), safe="")
        user, _, host = parts.netloc.rpartition("@")
        return urlunsplit(parts._replace(netloc=f"{user}:{password}@{host}"))

    @property
    def key_store(self) -> Path:
        """The file of a key store that is one: `CAREPACT_KEYS`, or a file of the home."""
        assert self.keys_database is None, "the key store is a database"
        named = Path(self.keys.get_secret_value()) if self.keys else self.home_folder.path / "keys.sqlite3"
        return named.expanduser()

    @property
    def log_partitions(self) -> int:
        """Partitions of each log: as asked, else as this home's logs were made, else four."""
        chosen: int | None = self.home_folder.choices().get("partitions")
        return self.partitions or chosen or PARTITIONS

    @property
    def webhooks_ca(self) -> Path | None:
        """The file of `webhooks_ca_file`; `Refused` where it is not there."""
        if self.webhooks_ca_file is None:
            return None
        file = self.webhooks_ca_file.expanduser()
        if not file.is_file():
            raise Refused(f"CAREPACT_WEBHOOKS_CA_FILE: there is no file {file}")
        return file

    @property
    def gateway_tls(self) -> tuple[Path, Path] | None:
        """Certificate and key, if the gateway serves by TLS."""
        certificate, key = self.gateway_tls_certificate, self.gateway_tls_key
        if bool(certificate) != bool(key):
            raise Refused("CAREPACT_GATEWAY_TLS_CERTIFICATE and CAREPACT_GATEWAY_TLS_KEY go together")
        return (certificate.expanduser(), key.expanduser()) if certificate and key else None

    def load_kms(self) -> Kms | None:
        """The key management service, if one is named."""
        if self.kms is None:
            return None
        if not self.kms_token and not self.kms_token_file:
            raise Refused("CAREPACT_KMS needs CAREPACT_KMS_TOKEN or CAREPACT_KMS_TOKEN_FILE")
        return VaultTransit(self.kms, self._kms_token, self.kms_ca_file, self.kms_namespace)

    def _kms_token(self) -> str:
        if self.kms_token_file:
            return self.kms_token_file.expanduser().read_text(encoding="ascii").strip()
        assert self.kms_token is not None, "it was checked"
        return self.kms_token.get_secret_value()

    def load_retention(self) -> Retention:
        """The duties to keep; `Refused` names a file that cannot be read."""
        if self.retention is None:
            return bundled_retention()
        try:
            return Retention.read(self.retention.expanduser())
        except (OSError, ValueError, KeyError, TypeError, ContractError) as error:
            raise Refused(f"CAREPACT_RETENTION: {self.retention} is no file of duties to keep: {error}") from error

    def load_roster(self) -> Roster:
        """The roster file in force; `Refused` names one that cannot be read."""
        try:
            return Roster.load(self.roster)
        except (OSError, ValueError) as error:
            raise Refused(f"CAREPACT_ROSTER: {self.roster} is not a roster: {error}") from error


def connection(settings: Settings, principal: str = AGENTS) -> Connections:
    """How `principal` reaches both stores, local or remote. `NotStarted` when this home never had a platform.

    Database roles: `platform` owns, `agents` write rows, `operator` reads; payers and plans have none.
    """
    home = settings.home_folder
    bootstrap = settings.kafka or _local_bootstrap(home)
    dsn = _dsn(settings, home, principal)
    if settings.kafka is None:
        return Connections(principal, bootstrap, principal, home.secret(principal), dsn=dsn)
    user, password = _remote_user(settings, home, principal)
    return Connections(
        principal,
        bootstrap,
        user,
        password,
        mechanism=settings.kafka_mechanism,
        tls=settings.kafka_tls,
        ca_file=settings.kafka_ca_file,
        dsn=dsn,
    )


def open_key_store(settings: Settings) -> WrappedKeyStore:
    """The key store that the settings name, made if it is not there. Close it after use."""
    kms = settings.load_kms()
    if (dsn := settings.keys_database) is None:
        return SqliteKeyStore(settings.key_store, WrappingKeys.beside(settings.key_store, kms=kms))
    if settings.postgres and _place(dsn) == _place(settings.postgres.get_secret_value()):
        raise Refused(
            "CAREPACT_KEYS and CAREPACT_POSTGRES name the same database; the key store needs one of its own, with a "
            "backup of its own: restoring the other must bring no destroyed key back"
        )
    file = settings.wrapping_key_file or settings.home_folder.secrets / "wrapping-key"
    return PostgresKeyStore(dsn, file.expanduser(), kms)


def _place(dsn: str) -> tuple[object, ...]:
    parts = urlsplit(dsn)
    return parts.hostname, parts.port or 5432, parts.path, "" if parts.hostname else parts.query


def acting() -> str:
    """Who acts: the operator, and which user of this machine it is."""
    try:
        return f"{OPERATOR}/{getpass.getuser()}"
    except (OSError, KeyError):
        return f"{OPERATOR}/{os.getuid()}"


def _local_bootstrap(home: Home) -> str:
    if not (ports := home.choices().get("kafka_ports")):
        raise NotStarted(
            f"there is no platform in {home}; start it with `carepact up`, or name another by CAREPACT_HOME"
        )
    return f"127.0.0.1:{ports[0]}"


def _remote_user(settings: Settings, home: Home, principal: str) -> tuple[str | None, str | None]:
    """The named user for every principal; else the principal itself, where the home has its password; else none."""
    if settings.kafka_user:
        if settings.kafka_password:
            return settings.kafka_user, settings.kafka_password.get_secret_value()
        if settings.kafka_password_file:
            return settings.kafka_user, settings.kafka_password_file.read_text(encoding="utf-8").strip()
        raise Refused("CAREPACT_KAFKA_USER needs CAREPACT_KAFKA_PASSWORD or CAREPACT_KAFKA_PASSWORD_FILE")
    file = home.secrets / principal
    return (principal, file.read_text(encoding="ascii").strip()) if file.exists() else (None, None)


def _dsn(settings: Settings, home: Home, principal: str) -> str | None:
    if (role := ROLES.get(principal)) is None:
        return None
    return remote_dsn(settings, role) if settings.postgres else Postgres(home).dsn(role)


def remote_dsn(settings: Settings, role: str) -> str:
    """`CAREPACT_POSTGRES` as it is where it names a user; else with `role` and its password, if the home has it."""
    assert settings.postgres is not None
    dsn = settings.postgres.get_secret_value()
    parts = urlsplit(dsn)
    file = settings.home_folder.secrets / f"postgres-{role}"
    if parts.username or "user=" in parts.query or not file.exists():
        return dsn
    password = quote(file.read_text(encoding="ascii").strip(), safe="")
    return urlunsplit(parts._replace(netloc=f"{role}:{password}@{parts.netloc}"))


def with_database(dsn: str, name: str) -> str:
    """The same server and role, another database."""
    return urlunsplit(urlsplit(dsn)._replace(path=f"/{name}"))

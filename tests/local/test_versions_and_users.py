"""Data folders of another version are refused; PostgreSQL runs for root and for others, in homes of any path length."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from carepact.local import postgres
from carepact.local.errors import Refused
from carepact.local.home import Home
from carepact.local.kafka import Kafka
from carepact.local.postgres import Postgres
from carepact.local.supervisor import Kept


async def test_a_broker_folder_of_another_version_is_refused_and_not_touched(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.make()
    (home.kafka / "data").mkdir()
    (home.kafka / "version").write_text("4.2.0")
    with pytest.raises(Refused, match=r"made by Apache Kafka 4\.2\.0, and this is 4\.3\.1; it was not touched"):
        await Kafka(home, []).prepare()
    (home.kafka / "version").unlink()
    with pytest.raises(Refused, match="made by Apache Kafka unknown"):
        await Kafka(home, []).prepare()
    assert not list((home.kafka / "data").iterdir())


async def test_a_database_folder_of_another_version_is_refused_and_not_touched(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.make()
    (home.postgres / "data").mkdir()
    (home.postgres / "data" / "PG_VERSION").write_text("16\n")
    with pytest.raises(Refused, match="made by PostgreSQL 16, and this is 18; it was not touched"):
        await Postgres(home).prepare()


async def test_a_home_with_a_long_path_has_its_socket_elsewhere(tmp_path: Path) -> None:
    home = Home(tmp_path / ("x" * 100))
    home.make()
    kept = Kept(Postgres(home), lambda: None)
    await kept.start()
    try:
        assert len(str(Postgres(home).socket_folder)) < 60
        assert Postgres(home).socket_folder.stat().st_mode & 0o077 == 0
    finally:
        await kept.stop()
    assert not list(Postgres(home).socket_folder.iterdir())
    Postgres(home).socket_folder.rmdir()


@pytest.mark.skipif(os.getuid() != 0, reason="root alone has to become someone else")
async def test_root_without_user_namespaces_runs_it_as_nobody(
    short_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "can_unshare", lambda: False)
    home = Home(short_folder / "home")
    home.make()
    with pytest.raises(Refused, match=r"user nobody cannot reach .*CAREPACT_HOME"):
        await Postgres(home).prepare()
    assert short_folder.stat().st_mode & 0o077 == 0, "a folder above the home keeps its mode"
    short_folder.chmod(0o711)
    kept = Kept(Postgres(home), lambda: None)
    await kept.start()
    try:
        assert kept.pid is not None
        assert os.stat(f"/proc/{kept.pid}").st_uid == pwd.getpwnam("nobody").pw_uid  # noqa: PTH116
        assert await Postgres(home).answers()
    finally:
        await kept.stop()


@pytest.mark.skipif(os.getuid() != 0 or not postgres.can_unshare(), reason="needs root with user namespaces")
def test_a_normal_user_runs_it_directly(short_folder: Path) -> None:
    program = (
        "import asyncio, os, sys\n"
        "from pathlib import Path\n"
        "from carepact.local.home import Home\n"
        "from carepact.local.postgres import Postgres\n"
        "from carepact.local.supervisor import Kept\n"
        "async def main():\n"
        "    home = Home(Path(sys.argv[1]))\n"
        "    home.make()\n"
        "    kept = Kept(Postgres(home), lambda: None)\n"
        "    await kept.start()\n"
        "    print('uid', os.getuid(), await kept.part.answers())\n"
        "    await kept.stop()\n"
        "asyncio.run(main())\n"
    )
    as_user = ["unshare", "--user", "--map-user=1000", "--map-group=1000", "--"]
    said = subprocess.run(
        [*as_user, sys.executable, "-c", program, str(short_folder / "home")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "uid 1000 True" in said.stdout, said.stderr

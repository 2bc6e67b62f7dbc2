"""Everything that can be asked, asked: each route that reads, by each role and with its own ids, and each command.

Routes are those that the app has and commands those that the command line has, so that a new one is asked too; a
command that is not must say why not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from carepact.__main__ import COMMANDS, Commands
from tests.gateway.served import Served
from tests.gateway.two_tokens import every_route

QUERIES = {"period": "4", "month": "2024-03", "view": "limited", "reason": "a test", "limit": "100"}
IN_PATHS: Mapping[str, Sequence[str]] = {
    "kind": ("ta1", "999", "277ca"), "month": ("2024-03",), "release": ("1",), "name": ("Envelope.v1",),
}  # fmt: skip
USAGE = 2
MOST_IDS = 3
"""Of one kind, tried at each route."""

JSON_OF = {
    "status": (), "quality": ("--payer", "{payer}"), "rejects list": (), "rejects show": ("{reject_id}",),
    "parked list": (), "episodes": (), "payments": (), "returns": (), "explain": ("{episode_id}",),
    "alerts": ("--payer", "{payer}"), "findings": ("--payer", "{payer}"), "feed list": (), "feed endpoints": (),
    "feed tail": ("payer:{payer}",), "feed deliveries": ("{endpoint_id}",),
    "report": ("--plan", "{plan}", "--payer", "{employers}"),
    "employer-report": (
        "--plan", "{plan}", "--from", "2024-01-01", "--through", "2024-03-31", "--payer", "{employers}",
    ),
    "statement": ("--payer", "{payer}", "--month", "2024-03", "--out", "{folder}/statement.csv"),
    "practice readiness": ("--practice", "P9", "--month", "2024-03", "--payer", "{payer}"),
    "practice feedback": ("--practice", "P9", "--period", "4", "--payer", "{payer}"),
    "subject report": ("{member}", "--payer", "{payer}"), "subject links": ("--payer", "{payer}"), "access": (),
    "replay verify": ("--payer", "{payer}"), "replay diff": (), "audit chain": ("--payer", "{payer}"),
    "audit packet": ("--payer", "{payer}", "--out", "{folder}/packet"), "keys list": (),
    "publish": ("--payer", "{payer}", "{folder}/canaries.ndjson"), "rejects retry": ("{reject_id}",),
}  # fmt: skip
"""What each command is given, besides `--json`."""

AS_TENANT = {"feed tail", "report", "statement", "practice readiness", "practice feedback"}
"""Read in a tenant's place, as the gateway does."""

NOT_ASKED = {
    "starts, stops or measures what other tests do": (
        "demo", "up", "down", "wait", "doctor", "setup", "worker", "calendar", "checkpoints", "gateway", "deliverer",
        "bench",
    ),
    "reads no fact of a member": ("generate", "contract", "close-day", "keys", "release"),
    "acts on what it is given by its id, and says that it did": (
        "rejects drop", "parked release", "feed add", "feed pause", "feed resume", "feed remove", "feed rotate",
        "feed test", "feed replay", "subject link", "subject erase", "replay switch", "replay rebuild",
        "replay republish", "audit checkpoint",
    ),
    "takes a settlement or a run of its own": ("reconcile", "draft", "replay what-if", "audit verify"),
    "is for who may be told of the person": ("practice submission",),
}  # fmt: skip


def every_command() -> Iterator[str]:
    """Each command, with its group."""
    group = Commands()
    for name in COMMANDS:
        command: Any = group.get_command(None, name)
        inner = getattr(command, "commands", {name: command})
        yield from ([name] if set(inner) == {name} else [f"{name} {each}" for each in inner])


def undecided() -> list[str]:
    """Commands that are not asked, nor said why not."""
    excused = {each for some in NOT_ASKED.values() for each in some}
    return [each for each in every_command() if not {each, each.split()[0]} & (excused | set(JSON_OF))]


async def ask_every_route(served: Served, keys: Sequence[str], ids: Mapping[str, Sequence[str]]) -> int:
    """Each route that reads, asked with each key; the answers are among those of `served`. How many were asked."""
    asked = 0
    tried = {**IN_PATHS, **{name: values[:MOST_IDS] for name, values in ids.items()}}
    for key in keys:
        async with served.client(key) as client:
            for verb, route in every_route():
                if verb != "GET":
                    continue
                if route.path.endswith("/stream"):
                    served.answers.append(await _streamed(served, key, route.path))
                    continue
                names = route.dependant.path_params
                queries = {
                    each.alias: QUERIES[each.alias] for each in route.dependant.query_params if each.alias in QUERIES
                }
                for path in _filled(route.path, [each.alias for each in names], tried):
                    answer = await client.get(path, params=queries)
                    assert answer.status_code < 500, (path, answer.status_code)
                    asked += 1
    return asked


def _filled(path: str, names: Sequence[str], tried: Mapping[str, Sequence[str]]) -> list[str]:
    paths = [path]
    for name in names:
        values = tried.get(name, ("x",))
        paths = [re.sub(rf"\{{{name}(:[a-z]+)?\}}", value, each) for each in paths for value in values]
    return paths


async def _streamed(served: Served, key: str, path: str) -> bytes:
    """What a stream says until it has caught up."""
    text = b""
    headers = {"Authorization": f"Bearer {key}"}
    async with (
        httpx.AsyncClient(base_url=str(served.part.url), headers=headers, timeout=60) as client,
        client.stream("GET", path) as answer,
    ):
        async for chunk in answer.aiter_bytes():
            text += chunk
            if b"event: caught-up" in text:
                break
    return text


async def ask_every_command(served: Served, given: Mapping[str, str], folder: Path) -> list[bytes]:
    """What each command prints, as JSON and for people, and what it writes."""
    said: list[bytes] = []
    for name, words in JSON_OF.items():
        told = [each.format_map({"folder": str(folder), **given}) for each in words]
        result = await served.command(*name.split(), *told, "--json", reading=name in AS_TENANT)
        assert result.exception is None or isinstance(result.exception, SystemExit), (name, result.exception)
        assert result.exit_code != USAGE, (name, result.output)  # so that it is asked, not only called
        said.append(result.output.encode())
    return said + [path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "canaries.ndjson"]

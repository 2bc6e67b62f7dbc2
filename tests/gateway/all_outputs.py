"""Everything that can be asked, asked: each route by each role and with its own ids, each command, each webhook.

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
from tests.end_to_end.harness import until
from tests.feeds.receiving import receiving, says, sending
from tests.gateway.canaries import inputs, sets
from tests.gateway.served import Served
from tests.gateway.two_tokens import every_route

QUERIES = {"period": "4", "month": "2024-03", "view": "limited", "reason": "a test", "limit": "100"}
IN_PATHS: Mapping[str, Sequence[str]] = {
    "kind": ("ta1", "999", "277ca"), "month": ("2024-03",), "release": ("1",), "name": ("Envelope.v1",),
}  # fmt: skip
USAGE = 2
NOBODYS = "00000000-0000-4000-8000-000000000000"
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


IN_VAIN = (
    ("publish", "--payer", "{payer}", "{folder}/broken"),
    ("publish", "--payer", "{payer}", "--validate", "full", "--acknowledge", "{folder}/answers", "{folder}/sets"),
    ("publish", "--payer", "{payer}", "--format", "cclf", "{folder}/canaries.ndjson"),
    ("publish", "--payer", "{payer}", "--mapping", "{folder}/canaries.ndjson", "{folder}/canaries.ndjson"),
    ("rejects", "retry", "{reject_id}", "--with", "{folder}/canaries.ndjson"),
    ("rejects", "show", "{reject_id}", "--view", "limited"), ("rejects", "show", "Canaria-Quetzal"),
    ("rejects", "drop", "Canaria-Quetzal", "--why", "a test"), ("explain", "Canaria-Quetzal"),
    ("episodes", "--member", "Canaria-Quetzal"), ("payments", "--member", "Canaria-Quetzal"),
    ("subject", "report", "member_id:Quetzal", "--payer", "{payer}"),
    ("subject", "link", "member_id:Quetzal", "member_id:Canaria", "--payer", "{payer}"),
    ("subject", "erase", "member_id:Quetzal", "--payer", "{payer}", "--why", "a test"),
    ("audit", "verify", "{folder}/canaries.ndjson"), ("contract", "lint", "{folder}/canaries.ndjson"),
    ("contract", "try", "{folder}/canaries.ndjson"), ("parked", "release", "Canaria-Quetzal", "--payer", "{payer}"),
)  # fmt: skip
"""Commands that say what was wrong."""


async def send_every_file(served: Served, key: str, folder: Path) -> int:
    """Each input, whole and broken, as a file of its own; those of X12 with their answers. How many were taken."""
    taken = 0
    async with served.client(key) as client:
        for name, content in [*inputs(folder / "made"), *sets()]:
            said = {"Prefer": "wait=0", "File-Name": f"Canaria-{name}"}
            answer = await client.post("/v1/files?validate=full", content=content, headers=said)
            assert answer.status_code in (202, 422), (name, answer.text)
            taken += answer.status_code == 202
            (folder / "broken").mkdir(exist_ok=True)
            (folder / "sets").mkdir(exist_ok=True)
            (folder / ("sets" if name.endswith(".x12") else "broken") / name).write_bytes(content)
            if name.endswith(".x12"):
                for kind in await _answered(client, answer.headers["location"]):
                    told = await client.get(f"{answer.headers['location']}/acknowledgements/{kind}")
                    assert told.status_code == 200
            await client.post("/v1/events", content=content, headers={"Content-Type": "application/x-ndjson"})
    return taken


async def _answered(client: httpx.AsyncClient, run: str) -> list[str]:
    """Which acknowledgements a run has, when it has ended."""

    async def ended() -> Any:
        document = (await client.get(run)).json()
        return document if document["status"] != "running" else None

    found: list[str] = (await until(ended, "the file has been read"))["acknowledgements"]
    return found


async def be_sent_every_event(served: Served, payer: str) -> list[bytes]:
    """What a webhook of the payer's feed is sent: headers and bodies of all."""
    world = served.world
    keys = world.platform.settings.key_store
    names = [each.name for each in world.roster.payers]
    async with receiving(says(204)) as receiver:
        words = ("feed", "add", f"payer:{payer}", receiver.url)
        added = await served.command(*words, reading=True, CAREPACT_WEBHOOKS_PRIVATE="1")
        assert added.exit_code == 0, (added.output, added.exception)
        async with world.opened() as database, sending(world.platform, world.database, keys.parent, payers=names):
            await receiver.until(await database.fetchval("SELECT count(*) FROM payment WHERE payer = $1", payer))
        return [str(each.headers).encode() + each.body for each in receiver.received]


async def ask_every_route(served: Served, keys: Sequence[str], ids: Mapping[str, Sequence[str]]) -> int:
    """Each route that reads, asked with each key; the answers are among those of `served`. How many were asked."""
    asked = 0
    tried = {**IN_PATHS, **{name: values[:MOST_IDS] for name, values in ids.items()}}
    for key in keys:
        async with served.client(key) as client:
            for verb, route in every_route():
                if verb != "GET":
                    asked += await _asked_wrongly(client, verb, route, tried)
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


async def _asked_wrongly(client: httpx.AsyncClient, verb: str, route: Any, tried: Mapping[str, Sequence[str]]) -> int:
    """A route that does something, given names where it wants ids, words and days; how often it was asked."""
    names = [each.alias for each in route.dependant.path_params]
    queries = {each.alias: "Quetzal 1951-07-13" for each in route.dependant.query_params}
    paths = [*_filled(route.path, names, dict.fromkeys(names, ("Canaria-Quetzal", NOBODYS)))]
    paths += _filled(route.path, names, tried)[:1] if verb == "POST" else ()
    asked = 0
    for path in paths:
        for body in (b'{"Canaria": "1951-07-13", "why": 1951, "url": "https://Quetzal/1EG4TE5MK73"}', b"[Canaria"):
            for given in ({}, queries):
                headers = {"Content-Type": "application/json", "Idempotency-Key": "Canaria Quetzal"}
                answer = await client.request(verb, path, params=given, content=body, headers=headers)
                assert answer.status_code < 500, (verb, path, answer.text)
                asked += 1
    return asked


def _filled(path: str, names: Sequence[str], tried: Mapping[str, Sequence[str]]) -> list[str]:
    paths = [path]
    for name in names:
        values = tried.get(name, ("Canaria-Quetzal",))
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
    """What each command prints, as JSON or in vain, and what it writes."""
    said: list[bytes] = []
    for wrong in IN_VAIN:
        result = await served.command(*(each.format_map({"folder": str(folder), **given}) for each in wrong))
        assert result.exception is None or isinstance(result.exception, SystemExit), (wrong, result.exception)
        said.append(result.output.encode())
    for name, words in JSON_OF.items():
        told = [each.format_map({"folder": str(folder), **given}) for each in words]
        result = await served.command(*name.split(), *told, "--json", reading=name in AS_TENANT)
        assert result.exception is None or isinstance(result.exception, SystemExit), (name, result.exception)
        assert result.exit_code != USAGE, (name, result.output)  # so that it is asked, not only called
        said.append(result.output.encode())
    given_in = [folder / name for name in ("made", "broken", "sets", "canaries.ndjson")]
    return said + [
        path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not any(path.is_relative_to(each) for each in given_in)
    ]

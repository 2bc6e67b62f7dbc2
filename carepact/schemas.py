"""The reference of events, written from the models that check them: `python -m carepact.schemas`.

For every event a JSON Schema of its `data` as sent (`inbound`), as kept in a log (`stored`), or as given out
(`emitted`); one of each envelope; a page that says for every field whether it is open or sealed; an AsyncAPI 3
document of all topics, and an OpenAPI 3.1 document of the gateway's routes. `--check` writes nothing and fails when the
pages differ from the models. A change by which data that was good is good no more, or means something else, is
refused: it is a new version of the event.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from pydantic import BaseModel

from contracts.envelope import MAX_FACT_BYTES, Envelope, schema_urn
from contracts.events import (
    BROADCAST_FACTS,
    EMITTED,
    LOG_FACTS,
    MEMBER_FACTS,
    OPERATIONS,
    REJECTS,
    REQUESTS,
    EmployerOutcomeReported,
    EpisodeChanged,
    Event,
    PaymentDetermined,
    sealed_fields,
    stored,
)
from contracts.events.base import Person
from streams.connections import Connections
from streams.door import OWN_FACTS, SOURCE_MAX
from streams.keys import WrappedKeyStore
from streams.roster import Roster
from streams.topics import GATEWAY, Topic, topics

FOLDER = Path(__file__).parents[1] / "docs" / "reference" / "events"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
GIVEN_OUT: tuple[type[Event], ...] = (*EMITTED, *REQUESTS, *REJECTS, *OPERATIONS)

Schema = dict[str, Any]


@cache
def pages() -> Mapping[str, str]:
    """Every file of the reference, by its path within the folder. Made once for a process, as that takes a while."""
    made: dict[str, str] = {
        "envelope.inbound.json": _json(inbound_envelope()),
        "envelope.stored.json": _json(_schema(Envelope, "urn:carepact:envelope:stored")),
    }
    for model in LOG_FACTS.values():
        name = f"{model.__name__}.v{model.VERSION}.json"
        if model not in OWN_FACTS:
            made[f"inbound/{name}"] = _json(_schema(model, f"{schema_urn(model)}:inbound"))
        made[f"stored/{name}"] = _json(_schema(stored(model), schema_urn(model)))
    for model in GIVEN_OUT:
        made[f"emitted/{model.__name__}.v{model.VERSION}.json"] = _json(_schema(model, schema_urn(model)))
    made["README.md"] = field_page()
    made["asyncapi.yaml"] = _yaml(asyncapi(topics(Roster.load()), Roster.load()))
    return dict(sorted(made.items()))


def reference() -> dict[str, str]:
    """The pages, and beside them what the gateway's OpenAPI document says of all its routes."""
    made = pages()
    return {**made, "openapi.yaml": _yaml(openapi(made))}


def openapi(catalogue: Mapping[str, str]) -> Schema:
    """The document that the gateway serves as `/openapi.json`."""
    from gateway.app import create_app  # noqa: PLC0415 - the gateway itself is given `pages`, and needs no more
    from gateway.parts import Config  # noqa: PLC0415

    reach = Connections(GATEWAY, "")
    return create_app(Config(Roster.load(), reach, (), _no_keys, catalogue, Path())).openapi()


def _no_keys() -> WrappedKeyStore:
    raise AssertionError("a document needs no keys")


def inbound_envelope() -> Schema:
    """The envelope as senders write it: what readers of NDJSON and inboxes take."""
    text: Schema = {"type": "string"}
    return {
        "$schema": DIALECT,
        "$id": "urn:carepact:envelope:inbound",
        "title": "An event as sent",
        "description": "CloudEvents 1.0 in JSON; other attributes are extensions of the sender and are left behind.",
        "type": "object",
        "required": ["specversion", "type", "source", "data"],
        "properties": {
            "specversion": {"const": "1.0"},
            "type": text | {"pattern": r"^carepact\.[A-Za-z]+\.v[0-9]+$"},
            "source": text | {"minLength": 1, "maxLength": SOURCE_MAX},
            "id": text
            | {
                "minLength": 1,
                "maxLength": 200,
                "description": "the sender's own; sent again with the same content it is a duplicate, with another a "
                "conflict; without it the id is derived from the content",
            },
            "time": text | {"format": "date-time", "description": "with an offset"},
            "plan": text
            | {"pattern": "^[a-z0-9-]{0,64}$", "description": "the employer's plan, where there are plans"},
            "payer": text | {"description": "if given, it must be the payer sent to"},
            "sensitivity": text
            | {"description": "part2: a record of substance use treatment under 42 CFR Part 2; it is tagged as one"},
            "data": {"type": "object", "description": "by the schema of its type in inbound/"},
        },
    }


def _schema(model: type[BaseModel], identity: str) -> Schema:
    return {"$schema": DIALECT, "$id": identity, **model.model_json_schema(mode="validation")}


# The page of fields


def field_page() -> str:
    """Every field of every event: open or sealed."""
    return "\n".join(_lines_of_page()) + "\n"


def _lines_of_page() -> Iterator[str]:
    yield from (
        "# Events, field by field",
        "",
        "Written by `python -m carepact.schemas` from the models; do not edit. JSON Schemas: [inbound/](inbound) (as",
        "sent), [stored/](stored) (as kept in a log), [emitted/](emitted) (as given out); envelopes:",
        "[inbound](envelope.inbound.json), [stored](envelope.stored.json); all topics: [asyncapi.yaml](asyncapi.yaml);",
        "HTTP: [openapi.yaml](openapi.yaml).",
        "",
        "**Sealed** fields name a person. They are accepted at the door and encrypted there under the member's own",
        "key (AES-256-GCM, in the envelope's `sealed`); folds, contracts and tables never see them. **Open** fields",
        "are stored as they are. Instead of the identifier the log has a token, made with a key that never leaves the",
        "key store.",
        "",
        "**What remains after an erasure:** the member's key is destroyed, and the sealed fields can be read by none.",
        "The token, the days of service, codes, amounts and practices remain in the log, since payments rest on them.",
        "A small set of days and codes can be enough to know somebody again: treat the log as personal data.",
        "",
        "In `data`, a field at its default is left out; a reader takes the default from the schema.",
        "",
        "## The envelope of a stored event",
        "",
    )
    yield from _table(_schema(Envelope, ""), lambda name: "encrypted" if name == "sealed" else "open")
    groups = (
        ("Facts about a member", MEMBER_FACTS),
        ("Facts about no one member: one copy in every partition", BROADCAST_FACTS),
        ("Requests, payments, settlements and rejects", (*EMITTED, *REQUESTS, *REJECTS)),
        ("What operators did", OPERATIONS),
    )
    for title, models in groups:
        yield f"## {title}\n"
        for model in models:
            yield from _section(model)
    yield "## Parts\n"
    for name, part in sorted(_parts().items()):
        sealed = name in {Person.__name__, "Identifier"}
        yield f"### {name}\n"
        yield from (part.get("description", "").replace("\n", " "), "")
        yield from _table(part, partial(_as_said, "**sealed**" if sealed else "open"))


def _as_said(standing: str, field: str) -> str:
    """The same for every field of a part."""
    del field
    return standing


def _section(model: type[Event]) -> Iterator[str]:
    yield f"### {model.type_name()}\n"
    yield " ".join((model.__doc__ or "").split())
    if model in OWN_FACTS:
        yield "Only the platform itself states it."
    yield ""
    sealed = sealed_fields(model)
    yield from _table(_schema(model, ""), lambda name: "**sealed**" if name in sealed else "open")


def _table(schema: Schema, standing: Callable[[str], str]) -> Iterator[str]:
    required = set(schema.get("required", ()))
    yield "| field | type | | default | |"
    yield "|---|---|---|---|---|"
    for name, field in schema.get("properties", {}).items():
        default = "required" if name in required else _default(field)
        words = " ".join(str(field.get("description", "")).split()).replace("|", "\\|")
        yield f"| `{name}` | {_type(field)} | {standing(name)} | {default} | {words} |"
    yield ""


def _default(field: Schema) -> str:
    default = field.get("default")
    return "" if default in (None, [], "") else f"`{json.dumps(default)}`"


def _type(field: Schema) -> str:
    """A few words; the schema has the whole."""
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in field:
        return " or ".join(dict.fromkeys(_type(each) for each in field["anyOf"] if each.get("type") != "null"))
    if "enum" in field or "const" in field:
        return ", ".join(f"`{each}`" for each in field.get("enum", [field.get("const")]))
    if field.get("type") == "array":
        return f"list of {_type(field.get('items', {}))}"
    kind = str(field.get("type", "any"))
    return str(field.get("format", "text")) if kind == "string" else kind


def _parts() -> dict[str, Schema]:
    found: dict[str, Schema] = {}
    for model in (*MEMBER_FACTS, *BROADCAST_FACTS, *GIVEN_OUT):
        found |= model.model_json_schema().get("$defs", {})
    return found


# AsyncAPI

_ABOUT = {
    "log": "The log of record of one payer: every fact, in the order it was learned. Kept for ever.",
    "inbox": "Where a payer or an employer's plan writes by Kafka itself; intake takes from it and deletes behind it.",
    "requests": "Settlements asked for, each at a fixed cut.",
    "payments": "Payments determined, and their exact reversals. Read it `read_committed`, and drop ids seen before.",
    "episodes": "Versions of episodes, one event each; the subject is the episode, the sequence its version.",
    "settlements": "Answers to requests.",
    "rejects": "What could not be taken in: place, reason, remedy; the raw bytes sealed, each under a key of its own.",
    "outcomes": "Outcomes as one employer may see them, at release windows alone.",
    "operations": "What operators did: runs of files, decisions on rejects, personal data read. It names no patient.",
    "checkpoints": "Signed heads of the Merkle trees over each log: what an auditor holds the logs against.",
    "control": "The agents' own.",
}


def asyncapi(declared: Iterable[Topic], roster: Roster) -> Schema:
    """All topics, who may write and read them, and what is in them."""
    by_kind: dict[str, Topic] = {}
    for topic in declared:
        by_kind.setdefault(topic.kind, topic)
    carried: dict[str, list[tuple[str, type[Event]]]] = {
        "log": [("stored", model) for model in LOG_FACTS.values()],
        "inbox": [("inbound", model) for model in LOG_FACTS.values() if model not in OWN_FACTS],
        "requests": [("emitted", model) for model in REQUESTS],
        "payments": [("emitted", model) for model in EMITTED if issubclass(model, PaymentDetermined)],
        "episodes": [("emitted", EpisodeChanged)],
        "settlements": [("emitted", model) for model in EMITTED if model.__name__.startswith("Settlement")],
        "outcomes": [("emitted", EmployerOutcomeReported)],
        "rejects": [("emitted", model) for model in REJECTS],
        "operations": [("emitted", model) for model in OPERATIONS],
    }
    messages = {_message(how, model): _as_message(how, model) for each in carried.values() for how, model in each}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "carepact",
            "version": "1",
            "description": "Written by `python -m carepact.schemas`; do not edit. Fields: README.md beside this page.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/cloudevents+json",
        "servers": {
            "kafka": {
                "host": "127.0.0.1:9092",
                "protocol": "kafka-secure",
                "description": "`carepact status --json` has the real address",
                "security": [{"$ref": "#/components/securitySchemes/scram"}],
            }
        },
        "channels": {kind: _channel(topic, roster, carried.get(kind, [])) for kind, topic in by_kind.items()},
        "operations": {
            f"{verb}.{kind}": _operation(kind, verb, who)
            for kind, topic in by_kind.items()
            for verb, who in (("send", topic.writers), ("receive", topic.readers))
        },
        "components": {
            "messages": dict(sorted(messages.items())),
            "securitySchemes": {"scram": {"type": "scramSha512"}},
        },
    }


def _channel(topic: Topic, roster: Roster, carried: Iterable[tuple[str, type[Event]]]) -> Schema:
    plans = [plan.name for payer in roster.payers for plan in payer.plans]
    address, parameters = topic.name, {}
    if topic.kind == "inbox":
        address = address.replace(f".{topic.tenant}.", ".{tenant}.")
        parameters["tenant"] = {"enum": list(roster.tenants), "description": "a payer without plans, or a plan"}
    elif topic.kind == "outcomes":
        address = address.replace(f".{topic.tenant}.", ".{plan}.")
        parameters["plan"] = {"enum": plans, "description": "an employer's plan"}
    elif topic.payer:
        address = address.replace(f".{topic.payer}.", ".{payer}.")
        parameters["payer"] = {"enum": list(roster.names), "description": "as the roster has them"}
    config = topic.config
    about = {
        "address": address,
        "description": _ABOUT[topic.kind],
        "messages": {_message(h, m): {"$ref": f"#/components/messages/{_message(h, m)}"} for h, m in carried},
        "bindings": {
            "kafka": {
                "partitions": topic.partitions,
                "topicConfiguration": {
                    "cleanup.policy": [config["cleanup.policy"]],
                    "retention.ms": int(config["retention.ms"]),
                    "max.message.bytes": int(config["max.message.bytes"]),
                },
                "bindingVersion": "0.5.0",
            }
        },
    }
    return about | ({"parameters": parameters} if parameters else {})


def _operation(kind: str, verb: str, who: tuple[str, ...]) -> Schema:
    names = "the payer or plan itself" if kind == "inbox" and verb == "send" else ", ".join(who) or "nobody"
    return {"action": verb, "channel": {"$ref": f"#/channels/{kind}"}, "summary": f"Principals: {names}."}


def _message(how: str, model: type[Event]) -> str:
    return f"{how}.{model.__name__}.v{model.VERSION}"


def _as_message(how: str, model: type[Event]) -> Schema:
    envelope = "inbound" if how == "inbound" else "stored"
    key: Schema = {"type": "string", "description": "the member's token; empty when it is about no one member"}
    return {
        "name": model.type_name(),
        "title": model.__name__,
        "summary": (model.__doc__ or "").strip().splitlines()[0],
        "contentType": "application/cloudevents+json",
        "payload": {
            "allOf": [
                {"$ref": f"./envelope.{envelope}.json"},
                {
                    "type": "object",
                    "properties": {
                        "type": {"const": model.type_name()},
                        "data": {"$ref": f"./{how}/{model.__name__}.v{model.VERSION}.json"},
                    },
                },
            ]
        },
        "bindings": {"kafka": ({} if how == "inbound" else {"key": key}) | {"bindingVersion": "0.5.0"}},
    }


# Changes that break

_LOWER, _HIGHER = ("maxLength", "maximum", "maxItems"), ("minLength", "minimum", "minItems")


def breaking(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """Why data that the old pages allowed is refused or read otherwise by the new ones. Pages by path."""
    found: list[str] = []
    for name, page in old.items():
        if not name.endswith(".json"):
            continue
        if name not in new:
            if not _superseded(name, new):
                found.append(f"{name}: the event is gone")
            continue
        before, after = json.loads(page), json.loads(new[name])
        found += [f"{name}{why}" for why in _broken(before, after, before, after, "")]
    return found


def _superseded(name: str, new: Mapping[str, str]) -> bool:
    """An older version of an event that now has a newer one: its page stays as it is."""
    event = name.rpartition(".v")[0]
    return any(other.rpartition(".v")[0] == event for other in new)


def _broken(old: Schema, new: Schema, old_root: Schema, new_root: Schema, at: str) -> Iterator[str]:
    old, new = _resolved(old, old_root), _resolved(new, new_root)
    for name, before in old.get("properties", {}).items():
        after = new.get("properties", {}).get(name)
        if after is None:
            yield f"{at}/{name}: the field is gone"
        else:
            yield from _broken(before, after, old_root, new_root, f"{at}/{name}")
    for name in sorted(set(new.get("required", ())) - set(old.get("required", ()))):
        yield f"{at}/{name}: was not required"
    if old.get("default") != new.get("default"):
        yield f"{at}: the default was {json.dumps(old.get('default'))}, and records were written without it"
    if bool(old.get("sealed")) != bool(new.get("sealed")):
        yield f"{at}: {'was' if old.get('sealed') else 'was not'} sealed"
    yield from _narrowed(old, new, at)
    if "items" in old:
        yield from _broken(old["items"], new.get("items", {}), old_root, new_root, f"{at}[]")
    yield from _alternatives(old, new, old_root, new_root, at)


def _narrowed(old: Schema, new: Schema, at: str) -> Iterator[str]:
    if lost := _values(old) - _values(new):
        if "enum" in new or "const" in new:
            yield f"{at}: no longer allows {', '.join(sorted(lost))}"
    elif ("enum" in new or "const" in new) and not ("enum" in old or "const" in old):
        yield f"{at}: is now one of a list"
    if "type" in new and old.get("type") != new["type"] and "enum" not in old and "const" not in old:
        yield f"{at}: was {old.get('type', 'of any type')}, is {new['type']}"
    for word in _LOWER:
        if word in new and new[word] < old.get(word, float("inf")):
            yield f"{at}: {word} is lower"
    for word in _HIGHER:
        if word in new and new[word] > old.get(word, float("-inf")):
            yield f"{at}: {word} is higher"
    for word in ("pattern", "format"):
        if word in new and old.get(word) != new[word]:
            yield f"{at}: {word} is another"


def _alternatives(old: Schema, new: Schema, old_root: Schema, new_root: Schema, at: str) -> Iterator[str]:
    """Each old alternative must still be allowed by a new one."""
    befores, afters = old.get("anyOf"), new.get("anyOf")
    if befores is None and afters is None:
        return
    for before in befores or [_bare(old)]:
        if all(any(_broken(before, after, old_root, new_root, at)) for after in afters or [_bare(new)]):
            yield f"{at}: no longer allows {_type(_resolved(before, old_root)) or 'what it did'}"


def _bare(schema: Schema) -> Schema:
    return {word: value for word, value in schema.items() if word not in ("default", "sealed", "anyOf")}


def _values(schema: Schema) -> set[str]:
    values = schema.get("enum", [schema["const"]] if "const" in schema else [])
    return {json.dumps(value) for value in values}


def _resolved(schema: Schema, root: Schema) -> Schema:
    if "$ref" not in schema:
        return schema
    target: Schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
    return target | {word: value for word, value in schema.items() if word != "$ref"}


# The command


def main(
    check: Annotated[bool, typer.Option("--check", help="Write nothing; fail when a page differs.")] = False,
    against: Annotated[str, typer.Option(help="Also compare with the pages of this git revision.")] = "",
    allow_breaking: Annotated[bool, typer.Option(help="Write pages that break with what they were.")] = False,
    folder: Annotated[Path, typer.Option(help="Where the pages are.")] = FOLDER,
) -> None:
    """Write the reference of events, or check it.

    Example: python -m carepact.schemas --check --against origin/main
    """
    new, there = reference(), _read(folder)
    broken = breaking(there, new) + (breaking(_at_revision(folder, against), new) if against else [])
    for why in dict.fromkeys(broken):
        typer.echo(f"breaks: {why}", err=True)
    if broken and not allow_breaking:
        typer.echo("a change that breaks is a new version of the event (VERSION), with an upcaster", err=True)
        raise typer.Exit(1)
    stale = [name for name in there if name not in new and not _superseded(name, new)]
    differing = [name for name, page in new.items() if there.get(name) != page] + stale
    if check:
        for name in differing:
            typer.echo(f"differs: {name}; run `python -m carepact.schemas`", err=True)
        raise typer.Exit(1 if differing else 0)
    for name in stale:
        (folder / name).unlink()
    for name in differing:
        if name in new:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(new[name], encoding="utf-8")


def _read(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in files}


def _at_revision(folder: Path, revision: str) -> dict[str, str]:
    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True)  # noqa: S607
        return done.stdout

    names = git("ls-tree", "-r", "--name-only", revision, ".").splitlines()
    return {name: git("show", f"{revision}:./{name}") for name in names}


def _json(schema: Schema) -> str:
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _yaml(document: Schema) -> str:
    head = f"# Events are at most {MAX_FACT_BYTES} bytes.\n"
    return head + yaml.dump(document, Dumper=_NoAnchors, sort_keys=False, allow_unicode=True, width=110)


class _NoAnchors(yaml.SafeDumper):
    """A document without references from place to place."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write everything out."""
        del data
        return True


if __name__ == "__main__":
    typer.run(main)

"""Whatever reads a member's data says so: a command or a scope that nobody has thought about fails here."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from carepact.__main__ import app
from gateway.principals import EMPLOYER, SCOPES

NOTED = {
    "episodes", "payments", "returns", "explain", "alerts", "reconcile", "rejects show", "audit packet",
    "subject report", "subject erase", "feed tail", "statement", "practice submission", "practice feedback",
}  # fmt: skip
"""Commands that show or hand out what is held of members, and note it first."""

OTHERS = {
    "demo", "up", "down", "status", "wait", "doctor", "setup", "generate", "publish", "close-day", "quality",
    "findings", "employer-report", "release", "draft", "report", "access", "worker", "calendar", "checkpoints",
    "gateway", "deliverer", "bench", "contract", "keys", "parked", "replay", "rejects", "audit", "subject", "feed",
    "practice",
}  # fmt: skip
"""Commands that do not, and groups whose others do not: figures of nobody, positions, tokens without what is held."""

BY_ROUTE = {"acknowledgements:read", "rejects:open", "members:read", "individual:read"}
"""Scopes whose routes note each thing that is read, by its subject."""

NOBODYS = {
    "events:write", "files:write", "files:read", "rejects:read", "rejects:write", "endpoints:manage", "reports:read",
    "measures:read", "access:read", "schemas:read", "metrics:read", "page:read",
}  # fmt: skip
"""Scopes that show nothing of a member. Of rejects, a list has places and codes; a record is noted by its route."""


def leaves(command: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every command that does something, by its words."""
    if not hasattr(command, "list_commands"):
        yield name, command
        return
    for word in command.list_commands(None):
        yield from leaves(command.get_command(None, word), f"{name} {word}".strip())


COMMANDS = dict(leaves(typer.main.get_command(app)))


def test_every_command_is_known_to_note_or_to_show_nothing_of_a_member() -> None:
    assert set(COMMANDS) >= NOTED
    assert not [name for name in COMMANDS if name not in NOTED and name.split()[0] not in OTHERS]


@pytest.mark.parametrize("name", sorted(NOTED))
def test_what_shows_a_members_data_notes_it(name: str) -> None:
    module = inspect.getmodule(COMMANDS[name].callback)
    assert module is not None
    code = inspect.getsource(module)
    assert "noted(" in code or "PersonalDataRead(" in code or "erase(" in code


def test_every_scope_is_known_to_note_or_to_show_nothing_of_a_member() -> None:
    assert {name for name, scope in SCOPES.items() if not scope.noted} - BY_ROUTE == NOBODYS & set(SCOPES)


def test_an_employers_scopes_are_nobodys_or_of_who_authorized_it() -> None:
    ofs = {name for name, scope in SCOPES.items() if EMPLOYER in scope.roles}
    assert ofs <= NOBODYS | {"feed:read", "statements:read", "individual:read"}

"""Writes what `compose.yaml` mounts: the properties of its three brokers, the passwords they start with, and the key
that wraps the keys of the key store.

    python -m carepact.local.compose

The properties are in version control; a test says when they are old. Passwords and key are made at the first run, on
the machine that runs compose, and stay there. The wrapping key belongs in no backup that has the key store.
"""

from __future__ import annotations

import secrets
from pathlib import Path

from carepact.local.kafka_properties import CONTROLLER, PLATFORM, Node, render
from carepact.local.postgres import AGENT, OWNER, READER, SUPER
from streams.keys import WrappingKeys
from streams.roster import Roster
from streams.topics import principals

FOLDER = Path(__file__).parents[2] / "compose"
NODES = tuple(Node(number, f"kafka-{number}", 9092, 9093, "/var/lib/kafka/data") for number in (1, 2, 3))


def properties() -> dict[str, str]:
    """The text of each broker's file, by file name."""
    return {f"kafka-{node.node_id}.properties": render(node, NODES, "/run/secrets") for node in NODES}


def write(folder: Path = FOLDER) -> None:
    """Write the properties anew, and the passwords that are missing."""
    for name, text in properties().items():
        (folder / name).write_text(text, encoding="utf-8")
    kept = folder / "secrets"
    kept.mkdir(mode=0o700, exist_ok=True)
    databases = [f"postgres-{role}" for role in (SUPER, OWNER, AGENT, READER, "keys")]
    for name in (PLATFORM, CONTROLLER, *principals(Roster.load()), *databases):
        if not (file := kept / name).exists():
            file.write_text(secrets.token_urlsafe(24), encoding="ascii")
    WrappingKeys.found(kept / "wrapping-key", {})
    for file in kept.iterdir():
        file.chmod(0o644)  # whatever the mask: the folder is closed, and a container's user reads what is mounted


if __name__ == "__main__":
    write()

"""The local platform: Kafka and PostgreSQL in a folder, started and kept running by one command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from carepact.local.platform import LocalPlatform

__all__ = ["LocalPlatform"]


def __getattr__(name: str) -> Any:
    """Import the platform when it is asked for: settings need the home's folder alone."""
    if name == "LocalPlatform":
        from carepact.local.platform import LocalPlatform  # noqa: PLC0415

        return LocalPlatform
    raise AttributeError(name)

"""The key store as operators keep it: rotated, backed up, put back."""

from __future__ import annotations

from carepact.settings import Settings, open_key_store


def open_and_rotate(settings: Settings) -> int:
    """Wrap every key of the store anew, under a new wrapping key; answers how many. Others read and write meanwhile."""
    keys = open_key_store(settings)
    try:
        return keys.rotate_wrapping_key()
    finally:
        keys.close()

"""What a key store may refuse, and why."""

from __future__ import annotations


class KeyStoreError(Exception):
    """The key store cannot be used; the message says what is missing or differs."""


class KeyStoreAway(KeyStoreError, OSError):
    """The key store, or what it needs to open, does not answer; trying again may help."""


class KeyDestroyed(KeyStoreError):
    """A key was destroyed; what it sealed cannot be read, and nothing is sealed under that name again."""

    def __init__(self, payer: str, name: str, kind: str = "member") -> None:
        super().__init__(f"{payer}: the key of {kind} {name} was destroyed")


class UnknownSubject(KeyStoreError):
    """No member has this token."""

    def __init__(self, payer: str, token: str) -> None:
        super().__init__(f"{payer}: no member {token} in the key store")

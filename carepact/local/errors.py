"""What the local platform can refuse, each with the command line's exit code."""

from __future__ import annotations


class PlatformError(Exception):
    """The platform could not do what was asked."""

    exit_code = 1


class Refused(PlatformError):
    """Configuration or access: nothing was changed, and the message names the remedy."""

    exit_code = 3


class NotStarted(PlatformError):
    """There is no platform in this home."""

    exit_code = 4


class Held(PlatformError):
    """Another process holds this home."""

    exit_code = 7


class TryAgain(PlatformError):
    """Not within the time given; trying again may help."""

    exit_code = 75

"""Arithmetic without a rounding nobody asked for: enough digits for any product of the figures a clause takes."""

from __future__ import annotations

from collections.abc import Callable
from decimal import localcontext
from functools import wraps
from typing import ParamSpec, TypeVar

DIGITS = 300
"""A figure has at most 33 digits, a clause multiplies at most seven; quotients and roots get as many."""

P = ParamSpec("P")
R = TypeVar("R")


def exactly(clause: Callable[P, R]) -> Callable[P, R]:
    """Run a clause in a decimal context of `DIGITS` digits, whatever the caller's is.

    In the usual 28 digits 12345678901234.56 x 0.9851234567 x 1.2312345678 is already rounded before its cents are.
    """

    @wraps(clause)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        with localcontext() as context:
            context.prec = DIGITS
            return clause(*args, **kwargs)

    return run

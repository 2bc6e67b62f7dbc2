"""Becomes another program that is told when its supervisor dies. Run as a file, by the supervisor only.

    python -I -S child.py SUPERVISOR SIGNAL USER -- PROGRAM ARGUMENT...

Asking for the signal between fork and exec would run Python in a forked copy of a threaded process; this does not.
USER is a user's name to run as, or `-`.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import sys

PR_SET_PDEATHSIG = 1


def main(supervisor: int, death_signal: int, user: str, program: list[str]) -> None:
    """Give up privileges, ask for the signal, make sure that the supervisor still lives, and become the program."""
    if user != "-":
        entry = pwd.getpwnam(user)
        os.setgroups([])
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, death_signal)
    if os.getppid() == supervisor:
        os.execv(program[0], program)  # noqa: S606 - to become it is the purpose


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[5:])

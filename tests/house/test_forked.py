"""A forked program is what `python -m` starts, as far as a test may look. The program here is this file."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import pytest

from tests import forked

PROGRAM = "tests.house.test_forked"


def test_it_has_its_own_words_environment_folder_session_and_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = forked.run([PROGRAM, "a", "b c"], {"PLACE": "here", "TZ": "Asia/Tokyo"})
    assert done.returncode == 5
    assert done.stderr == "said\n"
    assert json.loads(done.stdout) == [
        ["a", "b c"],
        {"PLACE": "here", "TZ": "Asia/Tokyo"},
        str(tmp_path),
        True,
        "__main__",
    ]


def test_the_command_line_is_the_one_of_the_console_script() -> None:
    refused = forked.run(["carepact", "payments", "--nonsense"], dict(os.environ))
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "--nonsense" in refused.stderr


async def test_it_is_stopped_and_killed_as_any_process(tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as out:
        process = await forked.start([PROGRAM, "stay"], dict(os.environ), out, out)
    os.kill(process.pid, 0)
    process.send_signal(signal.SIGSTOP)
    process.kill()
    assert await process.wait() == process.returncode == -signal.SIGKILL
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)


async def test_it_answers_sigterm_as_any_process(tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as out:
        process = await forked.start([PROGRAM, "stay"], dict(os.environ), out, out)
    process.terminate()
    assert await process.wait() == -signal.SIGTERM


if __name__ == "__main__":
    told = sys.argv[1:], dict(os.environ), os.getcwd(), os.getsid(0) == os.getpid(), __name__  # noqa: PTH109
    print(json.dumps(told))
    print("said", file=sys.stderr)
    sys.stdout.flush()
    if sys.argv[1] == "stay":
        signal.pause()
    sys.exit(5)

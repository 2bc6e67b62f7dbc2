"""`carepact`: the command line. Names and JSON keys are a promise to scripts; exit codes are those of `--help`."""

from __future__ import annotations

import typer

from carepact import (
    __version__,
    contract_commands,
    parked_commands,
    platform_commands,
    publish_commands,
    read_commands,
    replay_commands,
    subject_commands,
    worker_command,
)
from carepact.calendar_command import calendar
from carepact.demo import demo_command
from carepact.generate.command import generate_command

app = typer.Typer(
    name="carepact",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="""Contracts on episodes of cancer care: every payment explained, every replay proved.

    Exit codes: 0 done, 1 failure, 2 usage, 3 configuration or access, 4 not found, 5 done in part, 6 verification
    found a difference, 7 held by another process, 75 try again later, 130 interrupted.
    """,
)
app.command("demo")(demo_command)
for group in (platform_commands.app, publish_commands.app, read_commands.app):
    app.add_typer(group)
app.command("generate")(generate_command)
app.add_typer(contract_commands.app, name="contract")
app.add_typer(subject_commands.app, name="subject")
app.add_typer(parked_commands.app, name="parked")
app.add_typer(replay_commands.app, name="replay", help="Compute again from the log, and compare.")
app.command("worker", hidden=True)(worker_command.worker)
app.command("calendar", hidden=True)(calendar)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"carepact {__version__}")
        raise typer.Exit


@app.callback()
def carepact(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    """See the help above."""
    del version


def main() -> None:
    """The console script."""
    app()


if __name__ == "__main__":
    main()

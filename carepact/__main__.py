"""`carepact`: the command line. Names and JSON keys are a promise to scripts; exit codes are those of `--help`.

A command's module is imported when it is called: `contract try` needs no Kafka client.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from carepact import __version__

COMMANDS = {
    "demo": "carepact.demo:demo_command",
    "up": "carepact.platform_commands:app",
    "down": "carepact.platform_commands:app",
    "status": "carepact.platform_commands:app",
    "wait": "carepact.platform_commands:app",
    "doctor": "carepact.platform_commands:app",
    "setup": "carepact.platform_commands:app",
    "generate": "carepact.generate.command:generate_command",
    "publish": "carepact.publish_commands:app",
    "close-day": "carepact.publish_commands:app",
    "keys": "carepact.key_commands:app",
    "quality": "carepact.quality_command:quality_command",
    "rejects": "carepact.reject_commands:app",
    "parked": "carepact.parked_commands:app",
    "episodes": "carepact.read_commands:app",
    "payments": "carepact.read_commands:app",
    "returns": "carepact.read_commands:app",
    "explain": "carepact.read_commands:app",
    "alerts": "carepact.alert_command:alerts_command",
    "findings": "carepact.findings_command:findings_command",
    "reconcile": "carepact.read_commands:app",
    "employer-report": "carepact.employer_report_command:employer_report_command",
    "feed": "carepact.feed_commands:app",
    "release": "carepact.release_command:release_command",
    "draft": "carepact.release_command:draft_command",
    "report": "carepact.report_command:report_command",
    "statement": "carepact.statement_command:statement_command",
    "contract": "carepact.contract_commands:app",
    "practice": "carepact.practice_commands:app",
    "subject": "carepact.subject_commands:app",
    "access": "carepact.access_command:access_command",
    "replay": "carepact.replay_commands:app",
    "audit": "carepact.audit_commands:app",
    "bench": "bench.command:app",
    "worker": "carepact.worker_command:worker",
    "calendar": "carepact.calendar_command:calendar",
    "checkpoints": "carepact.checkpoint_command:checkpoints",
    "gateway": "carepact.gateway_command:gateway",
    "deliverer": "carepact.deliverer_command:deliverer",
}
"""Each command and where it is: a function, or a Typer that is the command or has it."""

HIDDEN = {"worker", "calendar", "checkpoints", "gateway", "deliverer"}


class Commands(TyperGroup):
    """The group of all commands, imported one by one."""

    def list_commands(self, ctx: Any) -> list[str]:
        """In the order of the table."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of that name; None when there is none, which the group reports."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name].partition(":")
        found = getattr(import_module(module), attribute)
        if not isinstance(found, typer.Typer):
            alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
            alone.command(cmd_name, hidden=cmd_name in HIDDEN)(found)
            return typer.main.get_command(alone)
        command: Any = typer.main.get_command(found)
        inner = getattr(command, "commands", {}).get(cmd_name)
        if inner is None:
            command.name = cmd_name
        return inner or command


app = typer.Typer(
    name="carepact",
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="""Contracts on episodes of cancer care: every payment explained, every replay proved.

    Exit codes: 0 done, 1 failure, 2 usage, 3 configuration or access, 4 not found, 5 done in part, 6 verification
    found a difference, 7 held by another process, 75 try again later, 130 interrupted.
    """,
)


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

"""`carepact contract`: the terms in force, one clause on given figures, what is wrong with a sheet, what changed."""

from __future__ import annotations

import asyncio
import json
import sys
import tomllib
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.table import Table
from typer.core import TyperCommand

from carepact.adopting import adopt_bundled
from carepact.platform_commands import Home, Json, reported, settings_of
from carepact.read_commands import NotFound
from contracts.differences import Side, differences, read_side
from contracts.errors import NoTermInForce
from contracts.lint import lint
from contracts.roster import PLAN_SHEETS, SHEETS, bundled_sheet, contract_digest
from contracts.terms import TermSheet
from contracts.trial import TRIALS, Trial, Unknown, answers, find, read_json
from contracts.units import money

if TYPE_CHECKING:
    from streams.what_if import WhatIf

app = typer.Typer(no_args_is_help=True, help="The terms in force, their clauses, and their adoption.")

DONE_IN_PART = 5
NAMES = (*SHEETS, *PLAN_SHEETS)
"""Every sheet of this build: a contract's, or that of one plan over it."""


@app.command("list")
def list_command(as_json: Json = False) -> None:
    """Every contract of this build, with the version and digest of its terms and of its clauses.

    Example: carepact contract list
    """
    rows = []
    for contract in NAMES:
        version, digest, content = bundled_sheet(contract)
        rows.append(
            {
                "contract": contract,
                "title": content["sheet"]["title"],
                "version": version,
                "terms_digest": digest,
                "clauses_digest": contract_digest(contract.partition("/")[0]),
            }
        )
    if as_json:
        sys.stdout.buffer.write(b"".join(orjson.dumps(row) + b"\n" for row in rows))
        return
    for row in rows:
        typer.echo(f"{row['contract']:<31} {row['version']:<8} terms {row['terms_digest'][:12]}  {row['title']}")


@app.command("show")
def show_command(
    contract: Annotated[str, typer.Argument(help="The contract, as `carepact contract list` names it.")],
    on: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="The day; today without it.")] = None,
    as_json: Json = False,
) -> None:
    """A contract's terms in force on a day: value, unit, source, and whether it is illustrative.

    Example: carepact contract show medicare-eom --on 2025-01-01
    """
    day = (on or datetime.now(UTC)).date().isoformat()
    with reported():
        if contract not in NAMES:
            raise NotFound(f"there is no contract {contract}; there are {', '.join(NAMES)}")
        terms = _in_force(contract, day)
    if as_json:
        document = {"contract": contract, "version": bundled_sheet(contract)[0], "on": day, "terms": terms}
        sys.stdout.buffer.write(orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")
        return
    table = Table("term", "value", "unit", "from", "status", "source", title=f"{contract} on {day}", expand=False)
    for term in terms:
        table.add_row(*(str(term[key]) for key in ("name", "value", "unit", "from", "status", "source")))
    Console().print(table)


def _in_force(contract: str, day: str) -> list[dict[str, Any]]:
    _, _, content = bundled_sheet(contract)
    sheet = TermSheet(content)
    terms = []
    for name in content["terms"]:
        try:
            value = sheet.on(name, day)
        except NoTermInForce:
            continue
        terms.append({"label": value.label, **value.as_use()})
    return terms


class ShowsClauses(TyperCommand):
    """A command whose help ends with every clause that can be tried, its givens, and an example."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """The usual help, then the clauses."""
        super().format_help(ctx, formatter)
        typer.echo("\n Clauses, and what each is given:\n")
        for trial in TRIALS:
            typer.echo(_shown(trial))


def _shown(trial: Trial) -> str:
    """A clause as the help lists it."""
    also = f"  (or {', '.join(trial.also)})" if trial.also else ""
    rows = [f" {trial.contract} {trial.clause}{also}: {trial.says}"]
    width = max(len(name) for name, _, _ in trial.givens())
    for name, says, needed in trial.givens():
        rows.append(f"     {name:<{width}}  {says}{'' if needed else '; may be left out'}")
    rows.append(f"     {json.dumps(trial.example)}\n")
    return "\n".join(rows)


@app.command("try", cls=ShowsClauses)
def try_command(
    contract: Annotated[str, typer.Argument(help="The contract, as `carepact contract list` names it, or `claims`.")],
    clause: Annotated[str, typer.Argument(help="The clause, as listed below.")],
    given: Annotated[str, typer.Option(help="A file of one JSON object of givens, or an array of them; - reads it.")],
    as_json: Json = False,
) -> None:
    """Run one clause on given figures, by the code that settles; no platform is needed.

    Amounts come out in cents. A refusal names the field; exit code 5 says that something was refused.

    Example: carepact contract try medicare-eom standardise --given - <<< '{"standardised": "9604.00"}'
    """
    with reported():
        try:
            trial = find(contract.partition("/")[0] if contract in PLAN_SHEETS else contract, clause)
        except Unknown as unknown:
            if unknown.contract:
                raise NotFound(str(unknown)) from None
            raise typer.BadParameter(str(unknown)) from None
        try:
            givens = read_json(sys.stdin.read() if given == "-" else _text_of(given))
        except ValueError as error:
            raise typer.BadParameter(f"--given is not JSON: {_without_text(error)}") from None
    result, complete = answers(trial, givens, contract if contract in PLAN_SHEETS else "")
    if as_json:
        typer.echo(json.dumps(result, indent=2, ensure_ascii=False))
    else:
        for one in result if isinstance(result, list) else [result]:
            _tell(one)
    if not complete:
        raise typer.Exit(DONE_IN_PART)


def _text_of(path: str) -> str:
    file = Path(path)
    if not file.is_file():
        raise NotFound(f"there is no file {path}")
    return file.read_text(encoding="utf-8")


def _without_text(error: ValueError) -> str:
    """What a parser says of the place, without the text it read."""
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at line {error.lineno}, column {error.colno}"
    return "it is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else str(error)


def _tell(result: dict[str, Any]) -> None:
    """A result for people: its lines with their terms, then its keys."""
    if "error" in result:
        error = result["error"]
        typer.echo(f"refused ({error['code']}): {error['field']} {error['message']}".replace("  ", " "))
        return
    for line in result["lines"]:
        typer.echo(f"{line['label']}: {line['arithmetic']}")
        for term in line["terms"]:
            mark = f"  [{term['status']}]" if term["illustrative"] else ""
            typer.echo(f"    {term['name']} = {term['value']} from {term['from']} ({term['source']}){mark}")
    for key, value in result.items():
        if key != "lines":
            shown = money(value) if key.endswith("_cents") and isinstance(value, int) else json.dumps(value)
            typer.echo(f"{key.removesuffix('_cents')}: {shown.strip(chr(34))}")


@app.command("lint")
def lint_command(
    files: Annotated[list[str], typer.Argument(help="Term sheets in TOML.", metavar="FILE...")],
    as_json: Json = False,
) -> None:
    """What is wrong with a term sheet: file, term, day, problem and remedy. Exit code 1 when there is anything.

    Example: carepact contract lint contracts/eom.toml
    """
    with reported():
        found = [problem for file in files for problem in lint(file, _text_of(file))]
    if as_json:
        typer.echo(json.dumps({"problems": [problem.document() for problem in found]}, indent=2, ensure_ascii=False))
    else:
        for problem in found:
            typer.echo(str(problem))
        if not found:
            typer.echo(f"{', '.join(files)}: nothing to say")
    if found:
        raise typer.Exit(1)


@app.command("diff")
def diff_command(
    before: Annotated[str, typer.Argument(help="A contract or a file, and if wanted a day: bcbs-sc@2025-12-31.")],
    after: Annotated[str, typer.Argument(help="Another, or the same on another day.")],
    payer: Annotated[
        str | None, typer.Option(help="Show dollars: what each would pay on this payer's history.", show_default=False)
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Each term that changed, and the day from which it did; with a payer, what both would pay on its history.

    Example: carepact contract diff medicare-eom@2024-12-31 medicare-eom@2025-01-01
    """
    dollars: WhatIf | None = None
    with reported():
        found = differences(_side(before), _side(after))
        if payer:
            dollars = asyncio.run(_in_dollars(home, payer, before, after))
    if as_json:
        document: dict[str, Any] = {
            "before": before,
            "after": after,
            "changes": [change.document() for change in found],
        }
        document |= {"dollars": dollars.as_json()} if dollars else {}
        typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
        return
    for change in found:
        place = f"{change.term} {change.day}".strip()
        typer.echo(f"{place}: {change.what} {_or_nothing(change.before)} -> {_or_nothing(change.after)}")
    if not found:
        typer.echo("no term differs")
    if dollars:
        for row in dollars.summed(lambda row: row.practice):
            figures = (money(row[f"{name}_cents"]) for name in ("before", "after", "difference"))
            typer.echo("{}: {} -> {}, {}".format(row["name"] or "(none)", *figures))
        typer.echo(f"in all {money(dollars.before_cents)} -> {money(dollars.after_cents)}")


async def _in_dollars(home: Any, payer: str, before: str, after: str) -> WhatIf:
    """What a payer's history pays under both."""
    from carepact.replay_commands import imagined, sheet_of  # noqa: PLC0415 - the other commands need no Kafka
    from contracts.drafts import Change  # noqa: PLC0415
    from streams.what_if import Options  # noqa: PLC0415

    one, other = (Change(sheet=sheet_of(side)) for side in (before, after))
    return await imagined(settings_of(home), payer, one, other, Options())


def _or_nothing(value: str | None) -> str:
    return "nothing" if value is None else value


def _side(named: str) -> Side:
    """A contract's terms or a file's, looked at on the day named after '@'."""
    name, day = (named, "") if Path(named).is_file() else _at(named)
    if name in NAMES:
        return Side(bundled_sheet(name)[2]["terms"], day)
    try:
        return Side(read_side(_text_of(name)), day)
    except NotFound:
        raise NotFound(f"there is no file and no contract {name}; there are {', '.join(NAMES)}") from None
    except tomllib.TOMLDecodeError as error:
        raise typer.BadParameter(f"{name} is not TOML: {error}") from None


def _at(named: str) -> tuple[str, str]:
    name, _, day = named.rpartition("@")
    if not name:
        return named, ""
    try:
        return name, date.fromisoformat(day).isoformat()
    except ValueError:
        raise typer.BadParameter(f"after '@' comes a day, YYYY-MM-DD: {named}") from None


@app.command("adopt")
def adopt_command(
    payer: Annotated[list[str] | None, typer.Option("--payer", help="Only this payer; may be repeated.")] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Let the logs adopt this build's terms and clauses where they hold others: payments that change are reversed.

    Example: carepact contract adopt --payer medicare
    """
    with reported():
        settings = settings_of(home)
        names = settings.load_roster().names
        if unknown := sorted(set(payer or ()) - set(names)):
            raise NotFound(f"there is no payer {unknown[0]}; there are {', '.join(names)}")
        written = asyncio.run(adopt_bundled(settings, payer, first_only=False))
    if as_json:
        sys.stdout.buffer.write(orjson.dumps({"records": written}, option=orjson.OPT_INDENT_2) + b"\n")
        return
    for name, count in written.items():
        typer.echo(f"{name}: " + (f"adopted, {count} records" if count else "nothing to adopt"))

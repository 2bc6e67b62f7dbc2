"""`carepact generate`: a synthetic population in files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import orjson
import typer

from carepact.generate.carried import FORMATS
from carepact.generate.population import PAYERS, write
from carepact.generate.writing import payers_of, write_as


def generate_command(
    out: Annotated[Path, typer.Option("--out", help="Folder to write <payer>.ndjson and practices.ndjson into.")],
    members: Annotated[int, typer.Option("--members", min=1, help="People in all, over the payers.")] = 2_000,
    seed: Annotated[int, typer.Option("--seed", help="Same seed, same bytes.")] = 7,
    months: Annotated[int, typer.Option("--months", min=3, max=72, help="Months of service from July 2023.")] = 24,
    payer: Annotated[list[str] | None, typer.Option("--payer", help="Only this payer; may be repeated.")] = None,
    format_: Annotated[str, typer.Option("--as", help=f"The format: {', '.join(FORMATS)}.")] = "ndjson",
    bad_lines: Annotated[bool, typer.Option("--bad-lines", help="Add one of each kind of bad line.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Write a synthetic population: cancers, regimens, enrollment changes, ePRO, leave, deaths, late and voided claims.

    Another format than NDJSON carries less; docs/reference/formats/generated.md says what.

    Example: carepact generate --members 2000 --seed 7 --out population
    """
    payers = tuple(payer) if payer else PAYERS
    if unknown := sorted(set(payers) - set(PAYERS)):
        raise typer.BadParameter(f"{', '.join(unknown)}: choose from {', '.join(PAYERS)}", param_hint="--payer")
    if format_ not in FORMATS:
        raise typer.BadParameter(f"{format_}: choose from {', '.join(FORMATS)}", param_hint="--as")
    if format_ == "ndjson":
        made = write(out, members, seed, months, payers, bad_lines)
    else:
        there_are = payers_of(format_)
        if bad_lines:
            raise typer.BadParameter("bad lines are of NDJSON", param_hint="--bad-lines")
        if payer and (unfit := sorted(set(payers) - set(there_are))):
            raise typer.BadParameter(
                f"{', '.join(unfit)}: {format_} is of {', '.join(there_are)}", param_hint="--payer"
            )
        made = write_as(format_, out, members, seed, months, [each for each in payers if each in there_are])
    if as_json:
        document = {
            "out": str(out),
            "members": made.members,
            "seed": made.seed,
            "files": made.files,
            "types": dict(sorted(made.types.items())),
            "shows": dict(sorted(made.shows.items())),
        }
        typer.echo(orjson.dumps(document).decode())
        return
    unit = "events" if format_ == "ndjson" else "lines"
    for name, count in made.files.items():
        typer.echo(f"{count:>9,} {unit}  {out / name}")

"""The reference of metrics, written from their definitions: `python -m carepact.metric_pages`.

`--check` writes nothing and fails when the page differs from the catalogue.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from contracts.employer_report import RETURN_FIGURES
from contracts.metrics.catalogue import CATALOGUE, Definition

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "metrics.md"
HEAD = """# Metrics of employers' contracts

Written from `contracts/metrics/catalogue.py` by `python -m carepact.metric_pages`. A definition holds from its day on
for periods that begin then or later; a change is a new version. Code sets are in `contracts/value_sets`, each with its
source in `sources.toml`.

Claims are counted in final action and money by signed sums (rules D.5). What is tagged under 42 CFR Part 2 and germline
tests are in no figure. A report holds all of these for a plan and period at a cut; it is raw, for the plan's
administrator, and leaves for an employer only through the disclosure gate. How a period is settled by them: [How an
employer's period is settled](../explanation/how-an-employer-is-settled.md).
"""
RETURNS = """
## Return to work

By `rtw-def/1` (rules A.2), of the people followed whose episode is counted in the period. Causes: returned, died, left
or long-term disability; whoever was laid off, moved away or is not yet known is censored. The incidence is
Aalen-Johansen's in exact fractions. A return counts when it held 28 days; seen and not confirmed at the cut it is
censored at its first day; one that lapses leaves the person at risk on the same clock.

| id | figure | unit |
|---|---|---|
"""


def page() -> str:
    """The whole page."""
    steps = dict.fromkeys(definition.step for definition in CATALOGUE)
    parts = [HEAD]
    for step in steps:
        parts.append(f"\n## {step.capitalize()}\n")
        parts += _rows(definition for definition in CATALOGUE if definition.step == step)
    parts.append(RETURNS)
    parts += [f"| {metric} | {title} | {unit} |\n" for metric, title, unit in RETURN_FIGURES]
    return "".join(parts)


def _rows(definitions: Iterator[Definition]) -> Iterator[str]:
    for one in definitions:
        yield f"\n### {one.metric}: {one.title}\n\n"
        better = {True: "less is better", False: "more is better", None: "neither is better"}[one.lower]
        yield f"`{one.name}` from {one.from_on}, in {one.unit}; {better}.\n\n"
        yield f"- numerator: {one.numerator}\n- denominator: {one.denominator}\n- left out: {one.exclusions}\n"
        if one.sets:
            yield f"- code sets: {', '.join(f'`{name}`' for name in one.sets)}\n"
        if one.asks:
            yield f"- ask the health plan: {one.asks}\n"


def main(
    check: Annotated[bool, typer.Option("--check", help="Write nothing; fail when the page differs.")] = False,
) -> None:
    """Write the page, or check it."""
    wanted = page()
    if not check:
        PAGE.write_text(wanted, encoding="utf-8")
    elif not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != wanted:
        typer.echo(
            "docs/reference/metrics.md differs from the catalogue; run python -m carepact.metric_pages", err=True
        )
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)

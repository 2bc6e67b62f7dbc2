"""A population written in another format: a folder for each payer, and for each plan of one that has several."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from carepact.generate import as_cclf, as_csv, as_fhir, as_x12
from carepact.generate.carried import carried, told
from carepact.generate.population import PAYERS, PLANS, Made, in_order, stories
from carepact.generate.practices import broadcasts, evidence
from carepact.generate.told import Told

MEDICARE = "medicare"


def files_of(format_: str, payer: str, facts: list[Told]) -> Iterator[tuple[str, bytes]]:
    """(name, content) of the files of one payer or plan; `facts` are those that the format carries."""
    match format_:
        case "cclf":
            yield from as_cclf.files(facts)
        case "csv":
            yield from as_csv.files(facts, payer)
        case "fhir":
            yield from as_fhir.files(facts, payer)
        case "x12":
            yield from as_x12.files(facts, payer)
        case _:
            raise AssertionError(f"no writer of {format_}")


def payers_of(format_: str) -> tuple[str, ...]:
    """Whose facts a format is for: CCLF is Medicare's alone."""
    return (MEDICARE,) if format_ == "cclf" else PAYERS


def write_as(
    format_: str, out: Path, members: int, seed: int, months: int = 24, payers: Iterable[str] = PAYERS
) -> Made:
    """`<payer>/...`, `<payer>/<plan>/...` where there are plans, and `practices.ndjson`, which is for every payer."""
    out.mkdir(parents=True, exist_ok=True)
    made = Made(members, seed)
    practices = [*broadcasts(), *evidence()]
    (out / "practices.ndjson").write_bytes(b"".join(line + b"\n" for line in practices))
    made.files["practices.ndjson"] = len(practices)
    for payer in payers:
        kept = []
        for story in stories(members, seed, months, payer):
            made.shows.update(story.counts)
            kept.append(story)
        facts = told(in_order(kept))
        for plan in PLANS if payer == "employers" else ("",):
            chosen = carried(format_, [each for each in facts if each.plan == plan])
            made.types.update(each.type for each in chosen)
            folder = out / payer / plan if plan else out / payer
            folder.mkdir(parents=True, exist_ok=True)
            for name, content in files_of(format_, plan or payer, chosen):
                (folder / name).write_bytes(content)
                made.files[str((folder / name).relative_to(out))] = content.count(b"\n")
    return made

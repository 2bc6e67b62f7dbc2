"""One population in several formats: each gives the same episodes and payments, as far as it carries the facts."""

from __future__ import annotations

from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import orjson
import pytest

from carepact.generate.carried import FORMATS, LOST, carried, listed, told
from carepact.generate.population import PAYERS, generate
from carepact.generate.told import Told
from carepact.generate.writing import payers_of, write_as
from formats.detect import read_files
from tests.generate.folded import Said, of_read, of_told, standing

FILES = FORMATS[1:]
SEED = 7
NAMES = frozenset(("claim_id", "family", "replaces"))


@cache
def facts_of(members: int) -> dict[tuple[str, str], list[Told]]:
    """The population's facts by payer and plan."""
    found: dict[tuple[str, str], list[Told]] = {}
    for payer in PAYERS:
        lines = (line for _, line in generate(members, SEED, payers=(payer,)))
        for each in told(lines):
            found.setdefault((payer, each.plan), []).append(each)
    return found


def read_back(folder: Path) -> list[Said]:
    return of_read(read_files(sorted(each for each in folder.iterdir() if each.is_file())))


def same(members: int, format_: str, out: Path) -> None:
    population = facts_of(members)
    write_as(format_, out, members, SEED, payers=payers_of(format_))
    for (payer, plan), facts in population.items():
        if payer not in payers_of(format_):
            continue
        expected = standing(payer, plan, of_told(carried(format_, facts)))
        found = standing(payer, plan, read_back(out / payer / plan))
        assert {m: e for m, e in found.items() if e} == {m: e for m, e in expected.items() if e}
        assert sum(len(episodes) for episodes in found.values()) > 0


@pytest.mark.parametrize("format_", FILES)
def test_a_format_gives_the_episodes_and_payments_of_the_facts_it_carries(format_: str, tmp_path: Path) -> None:
    same(120, format_, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("format_", FILES)
def test_every_scenario_in_every_format(format_: str, tmp_path: Path) -> None:
    same(1_200, format_, tmp_path)


def bodies(said: list[Said]) -> Counter[bytes]:
    """Claims without the numbers that name them."""
    found: Counter[bytes] = Counter()
    for type_, data, member in said:
        if type_.endswith("ClaimReceived.v1"):
            body = {name: value for name, value in data.items() if name not in NAMES}
            for holder in (body, *body.get("lines", ())):
                for name in holder.keys() & {"units", "quantity"}:
                    holder[name] = float(holder[name])
            found[orjson.dumps([type_, member, body], option=orjson.OPT_SORT_KEYS)] += 1
    return found


@pytest.mark.parametrize("format_", FILES)
def test_what_is_not_listed_as_lost_is_read_back(format_: str, tmp_path: Path) -> None:
    """Field by field, but for the numbers that name a claim."""
    write_as(format_, tmp_path, 60, SEED, payers=payers_of(format_))
    for (payer, plan), facts in facts_of(60).items():
        if payer in payers_of(format_):
            kept, found = bodies(of_told(carried(format_, facts))), bodies(read_back(tmp_path / payer / plan))
            assert kept.total() == found.total()
            missing = [orjson.loads(each) for each in list(kept - found)[:1]]
            others = [orjson.loads(each) for each in list(found - kept)[:1]]
            assert (missing, others) == ([], [])


@pytest.mark.parametrize("format_", FILES)
def test_what_is_listed_as_lost_is_there_to_lose(format_: str) -> None:
    there: set[str] = set()
    for facts in facts_of(500).values():
        for each in facts:
            there.add(each.type)
            there.update(f"{each.type}.{name}" for name in each.data)
            there.update(f"{each.type}.lines.{name}" for line in each.data.get("lines", ()) for name in line)
    assert {loss.what for loss in LOST[format_] if loss.what} <= there


def test_the_docs_list_what_is_lost() -> None:
    page = Path(__file__).parents[2] / "docs" / "reference" / "formats" / "generated.md"
    assert page.read_text().endswith(listed())


@pytest.mark.parametrize("format_", FILES)
def test_the_same_seed_gives_the_same_bytes(format_: str, tmp_path: Path) -> None:
    def written(name: str) -> dict[str, Any]:
        made = write_as(format_, tmp_path / name, 40, 3, payers=payers_of(format_))
        return {file: (tmp_path / name / file).read_bytes() for file in made.files}

    assert written("one") == written("two")

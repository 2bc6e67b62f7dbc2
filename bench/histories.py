"""Long and short lives of the same mix of facts, to see whether a long one costs more for each."""

from __future__ import annotations

from collections.abc import Iterator

from carepact.generate.codes import CANCERS
from carepact.generate.courses import report, service, treat, visit
from carepact.generate.people import invent, seeded
from carepact.generate.population import FIRST_DAY, in_order
from carepact.generate.practices import TAKING_PART
from carepact.generate.scenarios import enroll
from carepact.generate.story import Story

LONG_DAYS = 2_300
"""A long life's facts fall into the years in which the contract begins episodes."""


def lives(members: int, facts: int, first_number: int, seed: int = 7) -> Iterator[bytes]:
    """`members` people of `facts` facts each: enrollment, then rounds of therapy, visit, services and reports."""
    yield from in_order([_life(number, facts, seed) for number in range(first_number, first_number + members)])


def _life(number: int, facts: int, seed: int) -> Story:
    rng = seeded(seed, "lives", number)
    cancer = CANCERS["lung"]
    regimen = next(regimen for regimen in cancer.regimens if regimen.road == "carrier")
    story = Story(rng, "medicare", "", number, invent(rng, "medicare", "", number, "female"), FIRST_DAY)
    enroll(story)
    tin, dx = rng.choice(TAKING_PART).tin, (rng.choice(cancer.codes),)
    rounds = max(1, (facts - len(story.facts)) // 4)
    for turn in range(rounds + 1):
        day = FIRST_DAY + turn * LONG_DAYS // (rounds + 1) if facts > 100 else FIRST_DAY + rng.randrange(700)
        treat(story, day, regimen, tin, dx)
        visit(story, day, tin, dx)
        service(story, day, tin, dx)
        report(story, day, tin)
    story.facts.sort(key=lambda fact: fact[0])
    del story.facts[facts:]
    return story

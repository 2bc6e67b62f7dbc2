"""The population of the benchmark: one payer, an exact number of events, rich in monthly services."""

from __future__ import annotations

from collections.abc import Iterator

from carepact.generate.codes import CANCERS
from carepact.generate.courses import Course, clinical, report, service, treat, visit
from carepact.generate.people import invent, seeded
from carepact.generate.population import FIRST_DAY, in_order
from carepact.generate.practices import TAKING_PART
from carepact.generate.scenarios import enroll
from carepact.generate.story import Story

SERVICE_SHARE = 0.48
"""Of treated months billed as enhanced services: this sets how many payments there are for each fact."""


def bench_events(members: int = 5_000, events: int = 300_000, seed: int = 7) -> Iterator[bytes]:
    """Exactly `events` CloudEvents of payer medicare, in the order of knowledge.

    At 60 facts for each member: a year of treatment, at least 5 % of all facts replaced, voided or late, 1 % exact
    duplicates, and a payment or correction for each 8 to 9 facts.
    """
    kept = []
    for number in range(members):
        target = events // members + (number < events % members)
        kept.append(_member(number, seed, target))
    yield from in_order(kept)


def _member(number: int, seed: int, target: int) -> Story:
    rng = seeded(seed, "bench", number)
    cancers = [c for c in CANCERS.values() if any(r.road == "carrier" for r in c.regimens)]
    cancer = rng.choices(cancers, [c.weight for c in cancers])[0]
    regimen = next(r for r in cancer.regimens if r.road == "carrier")
    sex = {"breast": "female", "prostate": "male"}.get(cancer.name) or rng.choice(("female", "male"))
    s = Story(rng, "medicare", "", number, invent(rng, "medicare", "", number, sex), FIRST_DAY)
    enroll(s)
    start = FIRST_DAY + rng.randrange(365)
    c = Course(start, 360, cancer, regimen, rng.choice(TAKING_PART).tin, (rng.choice(cancer.codes),))
    clinical(s, c)
    for month in range(12):
        day = start + month * 30 + rng.randrange(3)
        c.drugs += treat(s, day, regimen, c.tin, c.dx)
        c.visits.append(visit(s, day, c.tin, c.dx))
        if not c.services or rng.random() < SERVICE_SHARE:
            c.services.append(service(s, day + 1 + rng.randrange(3), c.tin, c.dx))
    spare = max(0, target - len(s.facts))
    for _ in range(min(spare, 1 + (rng.random() < 0.15))):
        s.version(rng.choice(c.services), start + 380 + rng.randrange(60), "void", version=2 + len(s.facts))
    for sent in rng.sample(c.drugs, 1):
        lines = [{**ln, "paid_cents": ln["paid_cents"] * 9 // 10} for ln in sent.data["lines"]]
        s.version(sent, sent.known + 10 + rng.randrange(60), "replacement", lines=lines)
    if rng.random() < 0.08:
        lost = start + 40 + rng.randrange(300)
        s.cover(lost + 60, "part_b", lost, covered=False)
    if rng.random() < 0.6:
        s.again(rng.choice(c.all), start + 365 + rng.randrange(60))
    day = start
    while len(s.facts) < target:
        report(s, day, c.tin)
        day += 17
    s.facts.sort(key=lambda fact: fact[0])
    del s.facts[target:]
    return s

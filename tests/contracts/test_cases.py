"""The cases of `cases/*.toml`: given facts, then episodes, payments in force, expenditure and what was sent."""

from __future__ import annotations

import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from contracts.recoupment_risk import KIND as AT_RISK
from tests.contracts.given import Folded, Log, Standing, cents, plain

CASES = sorted((Path(__file__).parent / "cases").glob("*.toml"))


def cases() -> list[Any]:
    """Every case of every file, named for its file and its rule."""
    found = []
    for file in CASES:
        content = tomllib.loads(file.read_text(encoding="utf-8"), parse_float=Decimal)
        for case in content["case"]:
            before = [] if case.pop("plain", False) else content.get("before", [])
            case["given"] = [*before, *case["given"]]
            found.append(pytest.param(content.get("contract", "medicare-eom"), case, id=f"{file.stem}: {case['name']}"))
    return found


@pytest.mark.parametrize(("contract", "case"), cases())
def test_given_facts_then(contract: str, case: dict[str, Any]) -> None:
    """A case names what it says something about, and only that is compared."""
    unknown = set(case) - {
        "name",
        "given",
        "bare",
        "episodes",
        "payments",
        "expenditure",
        "sent",
        "returns",
        "bonus",
        "bonus_sent",
        "warned",
    }
    assert not unknown, f"a case says nothing of {unknown}"
    bare = case.get("bare", False)
    log = Log(contract).opened(bare)
    if not bare:
        log.enrolled()
    before = len(log.facts)
    log.told(case["given"])
    folded = Folded(contract, log.facts)
    standing = Standing.of(folded.outcomes)
    if "episodes" in case:
        seen = [{**e, "cost": standing.expenditure.get(e["episode_id"], 0)} for e in standing.live]
        wanted = [_episode(e) for e in case["episodes"]]
        assert [{k: e[k] for k in w} for e, w in zip(seen, wanted, strict=False)] == wanted
        assert len(seen) == len(wanted)
    if "payments" in case:
        found = {p.period: p.amount_cents for p in sorted(standing.in_force.values(), key=lambda p: p.period)}
        assert found == {period: cents(amount) for period, amount in case["payments"].items()}
        assert sum(standing.net().values()) == sum(found.values())
    if "expenditure" in case:
        found = {e["started_on"]: standing.expenditure.get(e["episode_id"], 0) for e in standing.live}
        assert found == {start: cents(amount) for start, amount in case["expenditure"].items()}
    if "sent" in case:
        sent = [
            [i - before + 1, p.period, p.amount_cents, p.event["cause_kind"]]
            for i, outcome in enumerate(folded.outcomes)
            for p in outcome.payments
        ]
        assert sent == [[nth, period, cents(amount), cause] for nth, period, amount, cause in case["sent"]]
    if "warned" in case:
        warned = [p for p in standing.payments.values() if p.kind == AT_RISK and not p.reverses]
        taken_back = {p.reverses for p in standing.payments.values() if p.kind == AT_RISK}
        found = {p.period: p.event["reason"] for p in warned if p.payment_id not in taken_back}
        assert found == case["warned"]
    if "returns" in case:
        followed = sorted(standing.returns.values(), key=lambda r: standing.episodes[r["episode_id"]]["started_on"])
        wanted = [{k: plain(v) if k.endswith("_on") else v for k, v in one.items()} for one in case["returns"]]
        assert [{k: r[k] for k in w} for r, w in zip(followed, wanted, strict=False)] == wanted
        assert len(followed) == len(wanted)
    if "bonus" in case:
        bonuses = {p.period: p.amount_cents for p in standing.in_force.values() if p.kind == "RTW_BONUS"}
        assert bonuses == {period: cents(amount) for period, amount in case["bonus"].items()}
    if "bonus_sent" in case:
        sent = [
            [i - before + 1, p.period, p.amount_cents, p.event["cause_kind"]]
            for i, outcome in enumerate(folded.outcomes)
            for p in outcome.payments
            if p.kind == "RTW_BONUS"
        ]
        assert sent == [[nth, period, cents(amount), cause] for nth, period, amount, cause in case["bonus_sent"]]


def _episode(short: dict[str, Any]) -> dict[str, Any]:
    """A case's short words for an episode as the columns they stand for."""
    names = {"from": "started_on", "to": "ends_on", "type": "cancer_type", "why": "void_reason", "at": "practice"}
    wanted: dict[str, Any] = {}
    for key, value in short.items():
        name = names.get(key, key)
        wanted[name] = plain(value) if name.endswith("_on") else cents(value) if name == "cost" else value
    return wanted

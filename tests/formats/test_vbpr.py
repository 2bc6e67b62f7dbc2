"""A bundle of MeasureReports is what its profiles ask for; each thing they ask for is missed where it is not there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from formats.vbpr import Contract, Measured, bundle, check
from formats.vbpr_profiles import violations

CONTRACT = Contract("employers", "acme", "Acme", "employer", "2026.1", "2026-06-30")
RATE = Measured("M12", "Navigation", "1", numerator=60, denominator=80, value="0.75", lower=False)
FIGURES = (
    RATE,
    Measured("M19", "Needs", "1", denominator=300, hidden_numerator=(0, 300), lower=True),
    Measured("episodes", "People", "1", numerator=300, denominator=9_000, value="0.0333"),
    Measured("RTW", "Returned", "1", stratum="26", unit="percent", value="0.52", lower=False),
    Measured("settlement", "Settled", "1", unit="cents", numerator=-234_000),
    Measured("funding-call", "Called for", "1", unit="cents"),
)
PERFORMANCE, QUALITY = 2, 3
Change = Callable[[dict[str, Any]], Any]


def made() -> Any:
    return orjson.loads(orjson.dumps(bundle(CONTRACT, [("2026-01-01", "2026-06-30", FIGURES)])))


def test_a_proportion_with_a_better_is_of_quality_and_all_else_of_performance() -> None:
    reports = [one["resource"] for one in made()["entry"] if one["resource"]["resourceType"] == "MeasureReport"]
    assert [one["id"] for one in reports] == [
        "performance-2026-01-01",
        "quality-2026-01-01-M12",
        "quality-2026-01-01-M19",
    ]
    groups = {one["id"]: one for one in reports[0]["group"]}
    assert list(groups) == ["episodes", "RTW-26", "settlement", "funding-call"]
    assert [each["count"] for each in groups["episodes"]["population"]] == [300, 9_000]
    assert groups["settlement"]["measureScore"]["extension"][0]["valueMoney"] == {"value": -2340.0, "currency": "USD"}
    assert groups["funding-call"]["measureScore"]["extension"][0]["valueCode"] == "masked"
    assert [one["improvementNotation"]["coding"][0]["code"] for one in reports[1:]] == ["increase", "decrease"]


@pytest.mark.parametrize(
    ("at", "change", "said"),
    [
        (PERFORMANCE, lambda one: one["extension"].clear(), "measurereport-category"),
        (PERFORMANCE, lambda one: one.pop("date"), "date"),
        (PERFORMANCE, lambda one: one["reporter"].update(reference="Organization/nobody"), "reporter"),
        (PERFORMANCE, lambda one: one["period"].pop("end"), "period"),
        (PERFORMANCE, lambda one: one["subject"].pop("extension"), "organization-subject"),
        (PERFORMANCE, lambda one: one.update(improvementNotation={"text": "x"}), "improvementNotation"),
        (PERFORMANCE, lambda one: one["group"][0].pop("id"), "group"),
        (PERFORMANCE, lambda one: one["group"][0].update(measureScore={"unit": "x"}), "measureScore"),
        (PERFORMANCE, lambda one: one["group"][2]["measureScore"]["extension"][0].pop("valueMoney"), "alternate"),
        (PERFORMANCE, lambda one: one["evaluatedResource"][0].update(reference="MeasureReport/x"), "evaluatedResource"),
        (QUALITY, lambda one: one["meta"].update(profile=["x"]), "profile"),
        (QUALITY, lambda one: one["extension"].pop(0), "deqm-3"),
        (QUALITY, lambda one: one.pop("improvementNotation"), "deqm-2"),
        (QUALITY, lambda one: one["group"][0].pop("population"), "deqm-5"),
        (QUALITY, lambda one: one["group"][0]["population"][0].pop("count"), "population"),
        (QUALITY, lambda one: one.update(type="individual"), "type"),
    ],
)
def test_what_a_profile_asks_for_is_missed(at: int, change: Change, said: str) -> None:
    document = made()
    assert not [*violations(document)]
    change(document["entry"][at]["resource"])
    found = [*violations(document)]
    assert any(said in words for words in found), found
    with pytest.raises(ValueError):
        check(document)

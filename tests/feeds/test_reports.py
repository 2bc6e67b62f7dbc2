"""An employer's report in every form holds what was released to it and nothing else."""

from __future__ import annotations

import csv
import io
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import asyncpg
import orjson
import pytest

from carepact.local.platform import LocalPlatform
from contracts.disclosure_figures import Report
from contracts.disclosure_gate import gate
from contracts.employer_disclosure import OF_COVERED, OF_EPISODES, OF_OTHERS, OF_SOME, SAVINGS, SHARES, SUMS
from contracts.employer_steps import COLUMNS, Released, meaning, steps, table
from contracts.releases import events
from formats.vbpr import check
from gateway import measure_reports, report_pages
from gateway.principals import Principal, scopes_of
from projections.released import Release
from tests.feeds.emitting import reaching
from tests.feeds.released import HALVES, OTHER_PLAN, PLAN, figures, project, release_of
from tests.gateway.served import client_of

EMPLOYER = Principal("employer", "employers", PLAN, scopes=scopes_of("employer"))
OTHER = Principal("employer", "employers", OTHER_PLAN, scopes=scopes_of("employer"))
PAYER = Principal("payer", "employers", scopes=scopes_of("payer"))


def report(ordinal: int = 3) -> dict[str, Any]:
    act = release_of(PLAN, ordinal)
    told = {"plan": PLAN, "title": "Palmetto Manufacturing", "ordinal": ordinal, "window_on": "2025-12-31"}
    return steps([Released(name, one) for name, one in events(act)], told)


def values(document: dict[str, Any], metric: str, stratum: str = "") -> list[dict[str, Any]]:
    (figure,) = [one for step in document["steps"] for one in step["figures"] if one["metric_id"] == metric]
    (found,) = [one for one in figure["strata"] if one["stratum"] == stratum]
    return list(found["values"])


def test_the_four_steps_have_their_figures_each_with_what_it_is_and_what_to_ask() -> None:
    document = report()
    assert [step["step"] for step in document["steps"]] == [
        "people", "spending", "touchpoints", "benefit design", "long-term investment",
    ]  # fmt: skip
    for figure in (one for step in document["steps"][1:] for one in step["figures"]):
        definition = figure["definition"]
        assert definition["numerator"] and definition["source"] and definition["version"], figure["metric_id"]
        assert figure["ask"] or figure["metric_id"] in ("absent", "funding-call"), figure["metric_id"]


def test_every_metric_that_the_gate_is_given_has_a_meaning() -> None:
    for metric in (*OF_EPISODES, *OF_SOME, *OF_COVERED, *OF_OTHERS, *SUMS, *SAVINGS, *SHARES):
        found = meaning(metric)
        assert found.step != "people" and found.ask and found.source, metric
        assert found.total or metric not in (*SUMS, *SAVINGS), metric


def test_a_withheld_figure_says_the_one_code_and_its_interval() -> None:
    document = report(1)
    (small,), (pharmacy,) = values(document, "M19"), values(document, "M1-pharmacy")
    assert small["withheld"] == {"code": "withheld", "numerator": [0, 300], "denominator": None}
    assert (small["numerator"], small["value"], small["rate"]) == (None, None, None)
    assert pharmacy["withheld"]["numerator"] == [0, None]
    assert values(document, "M20-overturned")[0]["withheld"]["numerator"] == [0, 100]


def test_rates_and_changes_are_arithmetic_on_what_is_shown() -> None:
    """500,000,000 cents for 9,000 people, then twice as much: 55,555.5556 each, and 100 % more in a year."""
    first, _, again = values(report(), "M1-medical")
    assert (first["rate"], first["change_in_a_year"]) == ("55555.5556", None)
    assert (again["rate"], again["change_in_a_year"]) == ("111111.1111", "1.0000")
    assert values(report(), "M3")[0]["rate"] == "83.3333"
    assert values(report(), "M1-pharmacy")[2]["change_in_a_year"] is None


def test_nothing_is_in_the_report_that_the_gate_did_not_let_out() -> None:
    """Every number in it is shown, or worked out of two that are; no number of a withheld figure is anywhere."""
    document = report(1)
    outcome = gate(Report(HALVES[0], figures())).outcome
    shown = {str(one.value) for one in outcome.figures if one.value is not None}
    for row in table(document):
        named = dict(zip(COLUMNS, row, strict=True))
        assert named["numerator"] in shown | {""}
        hidden = named["withheld"] and (named["numerator_low"] or named["metric_id"] == "settlement")
        assert bool(named["numerator"] or named["value"]) is not bool(hidden)
    text = orjson.dumps(document).decode() + report_pages.as_html(document) + report_pages.as_csv(document).decode()
    for secret in ("700000", "700,000", "7,000.00"):
        assert secret not in text


class Page(HTMLParser):
    """What a reader with a screen reader needs: headings in order, tables with headers, and nothing to load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_the_page_stands_alone_and_can_be_read_without_seeing_it() -> None:
    text = report_pages.as_html(report())
    found = Page(text)
    names = [tag for tag, _ in found.tags]
    assert not {"script", "img", "link", "iframe", "object"} & set(names)
    assert not [one for _, one in found.tags if {"src", "onclick", "onload", "style"} & one.keys()]
    assert all((one["href"] or "").startswith("#") for tag, one in found.tags if tag == "a")
    assert found.tags[0] == ("html", {"lang": "en"}) and names.count("h1") == names.count("main") == 1
    levels = [int(name[1]) for name in names if re.fullmatch("h[1-6]", name)]
    assert all(later - earlier <= 1 for earlier, later in pairwise(levels))
    assert all(one.get("scope") in ("col", "row") for tag, one in found.tags if tag == "th")
    ids = [one["id"] for _, one in found.tags if "id" in one]
    assert len(ids) == len(set(ids))
    for tag, one in found.tags:
        if tag == "a":
            assert (one["href"] or "")[1:] in ids
    assert "@media print" in text and "withheld (0 to 300)" in text


def test_a_spreadsheet_evaluates_nothing_of_the_table() -> None:
    rows = list(csv.reader(io.StringIO(report_pages.as_csv(report()).decode())))
    assert tuple(rows[0]) == COLUMNS and all(len(row) == len(COLUMNS) for row in rows)
    assert not [cell for row in rows for cell in row if cell[:1] in "=+@" and cell]


def test_the_same_release_gives_the_same_bytes_of_fhir_and_base_fhir_has_nothing_against_them() -> None:
    written = measure_reports.of_employer(report(), "employers")
    assert written == measure_reports.of_employer(report(), "employers")
    document = orjson.loads(written)
    check(document)
    resources = [entry["resource"] for entry in document["entry"]]
    reports = [one for one in resources if one["resourceType"] == "MeasureReport"]
    assert len({entry["fullUrl"] for entry in document["entry"]}) == len(resources)
    assert len({one["id"] for one in reports}) == len(reports)
    performance = [one for one in reports if one["id"].startswith("performance")]
    assert [one["period"]["start"] for one in performance] == ["2024-01-01", "2024-07-01", "2025-01-01"]
    named = {entry["fullUrl"] for entry in document["entry"] if entry["resource"] in reports}
    assert {each["reference"] for one in performance for each in one["evaluatedResource"]} < named
    (masked,) = [one for one in reports if one["id"] == "quality-2024-01-01-M19"]
    counts = {each["code"]["coding"][0]["code"]: each for each in masked["group"][0]["population"]}
    assert counts["denominator"]["count"] == 300 and "count" not in counts["numerator"]
    hidden = counts["numerator"]["_count"]["extension"]
    assert hidden[0]["valueCode"] == "masked" and hidden[1]["valueRange"] == {
        "low": {"value": 0},
        "high": {"value": 300},
    }
    broken = orjson.loads(written)
    del broken["entry"][2]["resource"]["status"]
    with pytest.raises(ValueError, match="status"):
        check(broken)


@pytest.mark.platform
async def test_an_employer_reads_its_own_releases_over_http_and_nobody_elses(
    platform: LocalPlatform, space: str, fresh_database: str, tmp_path: Path
) -> None:
    owner = await asyncpg.connect(fresh_database)
    for act in (release_of(PLAN, 1), release_of(PLAN, 2), release_of(OTHER_PLAN, 1)):
        await project(owner, act)
    await owner.close()
    app = reaching(platform, space, tmp_path, employer=EMPLOYER, other=OTHER, payer=PAYER)
    async with client_of(app, "employer") as client:
        listed = (await client.get("/v1/reports")).json()["releases"]
        assert [one["release"] for one in listed] == [2, 1] and listed[0]["from"] == "2024-07-01"
        latest = (await client.get("/v1/reports/latest")).json()
        assert (latest["release"], latest["employer"], len(latest["periods"])) == (2, "Palmetto Manufacturing", 2)
        html = await client.get("/v1/reports/1?format=html")
        policy = html.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; style-src 'sha256-") and "unsafe" not in policy
        assert html.headers["cache-control"] == "no-store" and html.text.startswith("<!doctype html>")
        assert (await client.get("/v1/reports/1?format=csv")).headers["content-type"].startswith("text/csv")
        fhir = await client.get("/v1/reports/1?format=fhir")
        assert fhir.headers["content-type"] == "application/fhir+json" and fhir.json()["resourceType"] == "Bundle"
        assert (await client.get("/v1/reports/3")).status_code == 404
    async with client_of(app, "other") as client:
        assert [one["release"] for one in (await client.get("/v1/reports")).json()["releases"]] == [1]
        assert (await client.get("/v1/reports/2")).status_code == 404
        assert PLAN not in (await client.get("/v1/reports/latest")).text
    async with client_of(app, "payer") as client:
        assert (await client.get("/v1/reports")).status_code == 403


def test_a_release_is_named_by_its_number() -> None:
    act = release_of(PLAN, 1)
    release = Release(1, act.window_on, HALVES[0].first_on, HALVES[0].last_on)
    envelopes = [
        orjson.dumps({"id": name, "data": one.model_dump(mode="json")}) for name, one in events(act)
    ]  # as on the employer's topic
    assert report_pages.document(PLAN, "Palmetto Manufacturing", release, envelopes) == report(1)

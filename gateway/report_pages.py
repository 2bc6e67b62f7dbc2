"""An employer's report of one release in every form: a page, JSON, CSV, and FHIR MeasureReports."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from contracts.employer_steps import COLUMNS, Released, steps, table
from contracts.events.releases import EmployerOutcomeReported
from gateway.pages import rendered, table_of
from projections.released import Release


def document(plan: str, title: str, release: Release, events: Iterable[bytes]) -> dict[str, Any]:
    """The report as a document, from the events of a release and nothing else."""
    told = {"plan": plan, "title": title, "ordinal": release.ordinal, "window_on": release.window_on.isoformat()}
    return steps([_released(event) for event in events], told)


def _released(event: bytes) -> Released:
    envelope = orjson.loads(event)
    return Released(envelope["id"], EmployerOutcomeReported.model_validate_json(orjson.dumps(envelope["data"])))


def as_html(report: Mapping[str, Any]) -> str:
    """A page that prints; it loads nothing."""
    return rendered("employer_report.html", r=report)


def as_csv(report: Mapping[str, Any]) -> bytes:
    """One row for each figure, stratum and period."""
    return table_of(COLUMNS, table(report))


def as_json(report: Mapping[str, Any]) -> bytes:
    """The document."""
    return orjson.dumps(report, option=orjson.OPT_INDENT_2) + b"\n"

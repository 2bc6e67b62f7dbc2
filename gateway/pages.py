"""Pages for people: each one HTML document with nothing to load and no script, under a policy that says so."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from functools import cache
from typing import Any

from fastapi import Response
from jinja2 import Environment, PackageLoader, StrictUndefined

from contracts.units import money


def rendered(template: str, **words: Any) -> str:
    """A page's text."""
    return _environment().get_template(template).render(style=_style(), **words)


def page(text: str, status: int = 200) -> Response:
    """A page as an answer: it may show itself, send its own forms here, and nothing else."""
    return Response(text, status, headers=dict(_headers()), media_type="text/html; charset=utf-8")


def table_of(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    """Rows as CSV (RFC 4180), UTF-8; a cell that a spreadsheet would take for a formula is marked as text."""
    written = io.StringIO()
    to = csv.writer(written, lineterminator="\r\n")
    to.writerow(columns)
    to.writerows([inert(cell) for cell in row] for row in rows)
    return written.getvalue().encode()


def inert(cell: str) -> str:
    """A cell that no spreadsheet evaluates; numbers stay numbers."""
    if cell[:1] in ("=", "+", "@", "\t", "\r") or (cell[:1] == "-" and not _is_number(cell)):
        return "'" + cell
    return cell


def _is_number(cell: str) -> bool:
    return cell[1:].replace(".", "", 1).isdigit()


@cache
def _headers() -> Mapping[str, str]:
    digest = base64.b64encode(hashlib.sha256(_style().encode()).digest()).decode()
    return {
        "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{digest}'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
    }


@cache
def _style() -> str:
    loader = _environment().loader
    assert loader is not None
    return loader.get_source(_environment(), "page.css")[0]


@cache
def _environment() -> Environment:
    environment = Environment(loader=PackageLoader("gateway"), autoescape=True, undefined=StrictUndefined)
    environment.filters |= {"usd": dollars, "percent": percent, "number": number}
    return environment


def dollars(cents: Any) -> str:
    """`-$1,234.56`; of a rate in cents too."""
    whole = round(Decimal(cents))
    return f"{'-' if whole < 0 else ''}${money(abs(whole))}"


def percent(fraction: str) -> str:
    """`0.5200` -> `52 %`, `0.7512` -> `75.1 %`."""
    hundredths = (Decimal(fraction) * 100).quantize(Decimal("0.1"))
    return f"{hundredths.normalize():f} %"


def number(count: Any) -> str:
    """`12,345`"""
    return f"{count:,}"

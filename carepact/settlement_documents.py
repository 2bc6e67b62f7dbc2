"""Writes a settlement's documents to a folder: each practice's statement and contest pack, as JSON and as HTML."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import orjson

from contracts.feedback import feedback

PAGES = {
    "medicare-eom": "gateway.settlement_pages",
    "ocm": "gateway.settlement_pages",
    "bcbs-sc": "gateway.settlement_pages",
    "employer": "gateway.employer_pages",
}
"""By contract, the module that makes its pages."""


def write_documents(out: Path, contract: str, documents: Iterable[Mapping[str, Any]]) -> list[Path]:
    """`<practice>.statement.json`, `.contest.json` and their pages in `.html` of each; what was written.

    Contracts that settle practices by episode also have `.feedback.json` and `.feedback.html`. Under a plan the name
    begins with the plan's.
    """
    out.mkdir(parents=True, exist_ok=True)
    pages: Any = import_module(PAGES[contract])
    written = []
    for one in documents:
        name = ".".join(part for part in (one["plan"], one["practice"] or "none") if part)
        contents = {
            "statement.json": _json(one["statement"]),
            "statement.html": pages.statement_page(one["statement"]).encode(),
            "contest.json": _json(one["pack"]),
            "contest.html": pages.contest_page(one["pack"]).encode(),
        }
        if hasattr(pages, "feedback_page"):
            report = feedback(one["statement"], one["pack"])
            contents |= {"feedback.json": _json(report), "feedback.html": pages.feedback_page(report).encode()}
        for ending, content in contents.items():
            path = out / f"{name}.{ending}"
            path.write_bytes(content)
            written.append(path)
    return written


def _json(document: Mapping[str, Any]) -> bytes:
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS) + b"\n"

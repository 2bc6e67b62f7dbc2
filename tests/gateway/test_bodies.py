"""What may be sent at once: size, depth, expansion, media type, rate. Each refusal is a problem, and holds nothing."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI, Request
from hypothesis import given
from hypothesis import strategies as st

from formats.ndjson import read_one
from formats.reading import Place, ReadFact, Reject
from gateway.events import _elements
from gateway.limits import Budget, Limits, Rate, body_of
from gateway.parts import Parts, parts_of
from gateway.principals import SCOPES, Principal
from gateway.problems import MEDIA_TYPE, Problem
from gateway.spool import place_name
from tests.gateway.served import MEDICARE, app_of, client_of

SMALL = Limits(body_bytes=10_000, in_flight_bytes=15_000, items=3, file_bytes=20_000, files_at_once=1)
NDJSON = {"Content-Type": "application/x-ndjson"}


@pytest.fixture
def app(tmp_path: Path) -> FastAPI:
    return app_of(tmp_path, SMALL, medicare=MEDICARE)


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(app, "medicare") as made:
        yield made


def held(app: FastAPI) -> int:
    """Bytes that requests hold."""
    parts: Parts = app.state.parts
    return parts.bytes_held.in_use


def deep(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


@pytest.mark.parametrize(
    ("status", "code", "body", "headers"),
    [
        (400, "bad_request", b"", {}),
        (400, "bad_request", b"[", {}),
        (400, "bad_request", b'[{"a":1}', {}),
        (400, "bad_request", b"[\xff]", {}),
        (400, "too_deep", deep(4_000), {}),
        (413, "too_large", b"x" * 10_001, NDJSON),
        (413, "too_large", b"{}\n" * 4, NDJSON),
        (413, "too_large", b"[{},{},{},{}]", {}),
        (415, "unsupported_media_type", b"<a/>", {"Content-Type": "application/xml"}),
        (415, "unsupported_media_type", b"{}", {"Content-Encoding": "br"}),
        (413, "too_expanded", gzip.compress(b"0" * 10_000_000, mtime=0), {"Content-Encoding": "gzip"}),
        (400, "bad_request", gzip.compress(b"{}" * 100, mtime=0)[:-9], {"Content-Encoding": "gzip"}),
        (400, "bad_request", b"no gzip", {"Content-Encoding": "gzip"}),
        (422, "bad_request", b"{}", {"Idempotency-Key": "k" * 201}),
    ],
)
async def test_a_body_that_cannot_be_taken_is_a_problem(
    client: httpx.AsyncClient, app: FastAPI, status: int, code: str, body: bytes, headers: dict[str, str]
) -> None:
    answer = await client.post("/v1/events", content=body, headers={"Content-Type": "application/json"} | headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == MEDIA_TYPE
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    assert held(app) == 0


async def test_a_body_without_a_length_is_counted_as_it_comes(client: httpx.AsyncClient) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(1_000):
            yield b"x" * 1_000

    for path in ("/v1/events", "/v1/files"):
        answer = await client.post(path, content=endless(), headers=NDJSON)
        assert answer.status_code in (413, 503)  # files ask for the log first, which is away here


def routes_with_a_body(app: FastAPI) -> list[tuple[str, str]]:
    """Method and path, with an id in the place of each, of every operation that the document gives a body."""
    paths = app.openapi()["paths"].items()
    found = [(method, path) for path, each in paths for method, one in each.items() if "requestBody" in one]
    return [(method, re.sub(r"\{[a-z_]+\}", str(UUID(int=7)), path)) for method, path in found]


async def test_no_body_is_read_of_who_may_not_ask_and_none_without_end(tmp_path: Path) -> None:
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        for _ in range(40):
            read += 10_000
            yield b" " * 10_000

    everything = Principal("payer", "medicare", scopes=frozenset(SCOPES))
    app = app_of(tmp_path, Limits(body_bytes=100_000, file_bytes=100_000, unknown_burst=1_000), all=everything)
    routes = routes_with_a_body(app)
    assert len(routes) > 5
    for method, path in routes:
        for token, most in (("", 0), ("all", 110_000)):
            read = 0
            async with client_of(app, token) as client:
                answer = await client.request(method, path, content=endless(), headers=NDJSON)
            assert answer.status_code in ((413, 503, 422) if token else (401,)), path
            assert read <= most, path


async def test_an_array_with_ten_thousand_levels_is_refused_without_a_stack(client: httpx.AsyncClient) -> None:
    for document in (b"[" + deep(4_000) + b"]", b'[{"a":' * 1_000 + b"1" + b"}]" * 1_000, b"[" * 9_999):
        answer = await client.post("/v1/events", content=document, headers={"Content-Type": "application/json"})
        assert answer.status_code in (400, 413)
    with pytest.raises(Problem, match="levels"):
        _elements(b"[" + b'{"a":[' * 10_000 + b"]}" * 10_000 + b"]")


@given(st.one_of(st.binary(max_size=300), st.text('[]{}",:x1 ', max_size=60).map(str.encode)))
def test_any_body_is_events_or_a_problem(body: bytes) -> None:
    try:
        events = _elements(body)
    except Problem as problem:
        assert problem.status == 400
    else:
        assert all(isinstance(read_one(event, Place("http", 1)), ReadFact | Reject) for event in events)


async def test_a_log_that_is_away_is_said_with_when_to_come_again(client: httpx.AsyncClient, app: FastAPI) -> None:
    for path in ("/v1/events", "/v1/files"):
        answer = await client.post(path, content=b"{}", headers=NDJSON)
        assert (answer.status_code, answer.json()["code"]) == (503, "away")
        assert int(answer.headers["retry-after"]) > 0
    assert held(app) == 0
    ready = await client.get("/health/ready")
    assert (ready.status_code, ready.json()["kafka"], ready.json()["keys"]) == (503, False, True)
    assert (await client.get("/health/live")).status_code == 200


async def test_a_name_of_a_person_in_a_path_or_a_query_is_not_said_again(client: httpx.AsyncClient) -> None:
    for path in ("/v1/Canaria", "/v1/rejects/Canaria", "/v1/rejects?status=Canaria", "/v1/schemas/Canaria"):
        answer = await client.get(path)
        assert answer.status_code in (404, 422)
        assert b"Canaria" not in answer.content


async def test_an_error_of_ours_is_a_problem_that_says_nothing_of_the_input(
    client: httpx.AsyncClient, app: FastAPI, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(request: Request) -> Parts:
        raise ValueError("Canaria Quetzal")

    app.dependency_overrides[parts_of] = broken
    answer = await client.get("/v1/schemas")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    printed = capsys.readouterr()
    assert "Canaria" not in answer.text + printed.out + printed.err


async def test_the_catalogue_is_that_of_the_reference(client: httpx.AsyncClient, app: FastAPI) -> None:
    listed = (await client.get("/v1/schemas")).json()["schemas"]
    assert {each["kind"] for each in listed} == {"inbound", "stored", "emitted", "envelope"}
    pages = app.state.parts.config.catalogue
    for each in listed:
        assert (await client.get(each["href"])).json() == json.loads(pages[f"{each['name']}.json"])
    assert {each["name"] for each in listed} == {name[:-5] for name in pages if name.endswith(".json")}


# Limits by themselves


async def unpacked(body: bytes, limits: Limits) -> bytes:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    scope = {"type": "http", "method": "POST", "headers": [(b"content-encoding", b"gzip")]}
    return await body_of(Request(scope, receive), limits, lambda share: None)


async def test_gzip_in_several_members_is_one_body() -> None:
    assert await unpacked(gzip.compress(b"one ") + gzip.compress(b"two"), Limits()) == b"one two"
    text = b"".join(b"%d" % number for number in range(100_000))
    assert await unpacked(gzip.compress(text), Limits()) == text


def test_a_caller_who_asks_too_often_is_told_how_long_to_wait() -> None:
    seconds = 0.0
    rate = Rate(per_second=0.5, burst=2, clock=lambda: seconds)
    rate.take("a")
    rate.take("a")
    with pytest.raises(Problem) as refused:
        rate.take("a")
    assert (refused.value.status, refused.value.headers["Retry-After"]) == (429, "2")
    rate.take("b")
    seconds = 2.0
    rate.take("a")


def test_a_budget_is_given_back_whatever_happens() -> None:
    budget = Budget(10)
    with pytest.raises(Problem, match="others are being served"), budget.held() as take:
        take(6)
        with budget.held() as other:
            other(4)
            assert budget.in_use == 10
            take(1)
    assert budget.in_use == 0


async def test_clients_without_a_credential_are_slowed_down(tmp_path: Path) -> None:
    app = app_of(tmp_path, Limits(unknown_burst=3, unknown_per_second=0.001))
    async with client_of(app) as client:
        answers = [(await client.get("/v1/schemas")).status_code for _ in range(5)]
    assert answers == [401, 401, 401, 429, 429]


@pytest.mark.parametrize(
    ("name", "stays"),
    [
        ("P.A1234.ACO.ZC1Y24.D240801.T0100000", "P.A1234.ACO.ZC1Y24.D240801.T0100000"),
        ("DE1_0_2008_Beneficiary_Summary_File_Sample_1.csv.gz", "http.2008.csv.gz"),
        ("canaria-quetzal-1951-07-13.csv", "http.1951.csv"),
        ("claims.smith", "http"),
        ("../../etc/passwd", "http"),
        ("2008-2009.x12", "http.x12"),
        ("", "http"),
    ],
)
def test_of_a_name_stays_what_readers_need(name: str, stays: str) -> None:
    assert place_name(name) == stays

"""The API is as its OpenAPI document says: calls made from the document, good and bad, and answers held against it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
import pytest_asyncio
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from carepact.local.platform import LocalPlatform
from gateway.principals import SCOPES, Principal
from tests.end_to_end.harness import world_of
from tests.gateway.served import Served, app_of, served

EVERYTHING = Principal("payer", "medicare", scopes=frozenset(SCOPES))
"""Stands for all roles at once; the stores are away."""

CHECKS = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    return app_of(tmp_path_factory.mktemp("openapi"), all=EVERYTHING)


def hold(schema: Any, token: str, most: int, servers_fault: frozenset[int]) -> None:
    """Call each operation `most` times as the document allows, and as often as it does not."""
    schema.config.generation.with_security_parameters = not token  # a wrong token says 401, and then 429, at every door
    found = [operation.ok() for operation in schema.get_all_operations()]
    assert found
    for operation in found:
        for mode in schemathesis.GenerationMode:

            @settings(
                max_examples=most,
                deadline=None,
                database=None,
                derandomize=True,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy(generation_mode=mode))
            def holds(case: Any) -> None:
                headers = {"Authorization": f"Bearer {token}"} if token else {}
                answer = case.call_and_validate(headers=headers, checks=CHECKS)
                assert answer.status_code not in servers_fault

            with suppress(Unsatisfiable):  # what takes nothing cannot be given anything wrong
                holds()


def test_the_document_is_openapi_3_1_with_a_scope_for_each_route(app: FastAPI) -> None:
    document = app.openapi()
    assert document["openapi"].startswith("3.1")
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    asked = {scope for each in operations for rule in each["security"] for scope in rule["bearer"]}
    assert asked <= set(SCOPES)
    for operation in operations:
        assert "application/problem+json" in operation["responses"]["default"]["content"]


def test_every_answer_is_as_the_document_says_while_the_stores_are_away(app: FastAPI) -> None:
    hold(schemathesis.openapi.from_asgi("/openapi.json", app), "all", 3, frozenset({500}))


@pytest_asyncio.fixture(scope="module")
async def gateway(platform: LocalPlatform, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    folder = tmp_path_factory.mktemp("api")
    async with (
        world_of(platform, "api", folder, ("medicare",)) as world,
        served(world, CAREPACT_GATEWAY_REQUESTS_PER_SECOND="100000") as made,
    ):
        yield made


@pytest.mark.long
@pytest.mark.platform
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("role", ["payer", "operator", ""])
async def test_every_answer_is_as_the_document_says(gateway: Served, role: str) -> None:
    """Some minutes: a running gateway answers nothing with a mistake of its own."""
    key = await gateway.key(role, "medicare" if role == "payer" else "") if role else ""
    schema: Any = await asyncio.to_thread(schemathesis.openapi.from_url, f"{gateway.part.url}/openapi.json")
    schema = schema.exclude(path="/v1/feed/stream")  # it has no end
    await asyncio.to_thread(hold, schema, key, 150, frozenset({500, 503}))

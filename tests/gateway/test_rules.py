"""Each route says who may call it; nobody else may, and nobody is told more than that."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI

from carepact.settings import Settings
from gateway.app import ROUTERS
from gateway.credentials import _known
from gateway.principals import OPEN, ROLES, SCOPES, Principal, needs, require_rules, routes, rules, scopes_of
from gateway.problems import MEDIA_TYPE
from tests.gateway.served import app_of, client_of

ROUTES = [route for router in ROUTERS for route in routes(router.routes)]
PATHS = [(method, route.path, rules(route)[0]) for route in ROUTES for method in route.methods]
SOME = "280512c3-f4cf-5e07-8de7-318f65059a7e"
EXAMPLES = {"member": "a" * 26, "reject_id": SOME, "endpoint_id": SOME}
OPEN_PATHS = {"/health/live", "/health/ready", "/sign-in"}


def path_of(pattern: str) -> str:
    """A path that fits a route's pattern."""
    for name, value in EXAMPLES.items():
        pattern = pattern.replace(f"{{{name}}}", value)
    return pattern.replace("{", "").replace("}", "").replace(":path", "")


def test_only_health_and_the_way_in_are_for_everybody() -> None:
    assert {path for _, path, scope in PATHS if scope is None} == OPEN_PATHS
    assert {scope for _, _, scope in PATHS if scope} <= set(SCOPES)


@pytest.mark.parametrize(("method", "path", "scope"), [each for each in PATHS if each[2]])
async def test_a_route_is_for_holders_of_its_scope_only(method: str, path: str, scope: str, tmp_path: Path) -> None:
    others = Principal("auditor", scopes=frozenset(SCOPES) - {scope})
    app = app_of(tmp_path, other=others)
    for token, status, code in (
        ("", 401, "unauthenticated"),
        ("nobody", 401, "unauthenticated"),
        ("other", 403, "forbidden"),
    ):
        async with client_of(app, token) as client:
            answer = await client.request(method, path_of(path))
        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert answer.headers["content-type"] == MEDIA_TYPE
        assert answer.json()["type"] == f"urn:carepact:problem:{code}"


@pytest.mark.parametrize("dependencies", [[], [Depends(OPEN), Depends(needs("files:read"))]])
def test_an_app_with_a_route_without_a_single_rule_is_refused(dependencies: list[Any]) -> None:
    app = FastAPI(docs_url=None, redoc_url=None)

    @app.get("/thing", dependencies=dependencies)
    async def thing() -> None: ...

    with pytest.raises(AssertionError, match="/thing declares no single rule"):
        require_rules(app)


def test_a_rule_below_another_dependency_counts() -> None:
    app = FastAPI(docs_url=None, redoc_url=None)

    async def theirs(caller: Annotated[Principal, Depends(needs("files:read"))]) -> str:
        return caller.payer

    @app.get("/thing")
    async def thing(payer: str = Depends(theirs)) -> str:
        return payer

    require_rules(app)


def test_there_is_no_rule_for_a_scope_that_is_not_declared() -> None:
    with pytest.raises(ValueError, match="no scope everything"):
        needs("everything")


def test_only_tenants_send_and_only_an_operator_counts() -> None:
    senders = [role for role in ROLES if "events:write" in scopes_of(role)]
    assert senders == ["payer"], "of a plan, its administrator: a payer with a plan"
    assert [role for role in ROLES if "metrics:read" in scopes_of(role)] == ["operator"]


def test_an_employer_reads_what_was_released_to_it_and_nothing_of_one_person() -> None:
    """The plan's administrator is another principal; and no scope that says of persons is ever an employer's."""
    personal = ("events", "files", "acknowledgements", "rejects", "members", "practice", "episodes", "payments")
    assert not [scope for scope in scopes_of("employer") if scope.partition(":")[0] in personal]
    assert "feed:read" in scopes_of("employer")


def test_a_key_opens_no_more_than_its_role_may() -> None:
    row = {"role": "employer", "payer": "employers", "plan": "p", "practice": "", "name": "", "credential_id": "a" * 16}
    made = _known(row | {"scopes": ["events:write", "feed:read"], "secret_digest": "", "expires_at": None})
    assert made.principal.scopes == {"feed:read"}, "one made when employers still sent"


def test_a_principal_sees_its_own() -> None:
    payer, plan = Principal("payer", "employers"), Principal("employer", "employers", "lowcountry-retail")
    assert payer.sees("employers", "lowcountry-retail") and not payer.sees("medicare")
    assert (
        plan.sees("employers", "lowcountry-retail") and not plan.sees("employers") and not plan.sees("employers", "x")
    )
    assert Principal("auditor").sees("medicare") and not Principal("auditor", "medicare").sees("bcbs-sc")


def test_settings_that_are_half_of_tls_are_refused(tmp_path: Path) -> None:
    from carepact.local.errors import Refused

    with pytest.raises(Refused, match="go together"):
        _ = Settings(gateway_tls_key=tmp_path / "key.pem").gateway_tls

"""Who calls, and what a caller may do.

A credential names its holder: a role, and for payers and employers the payer and plan whose data it is. Nothing in a
path or a body can name another. A route declares its rule in its signature, and the app refuses to be made with a
route that has none:

    @router.get("/v1/things")
    async def things(caller: Annotated[Principal, Depends(needs("things:read"))]) -> ...:

    @router.get("/health/live", dependencies=[Depends(OPEN)])

A new scope is a line in `SCOPES`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any, Protocol

from fastapi import Depends, FastAPI, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from fastapi.staticfiles import StaticFiles
from starlette.routing import Mount

from gateway.problems import Problem

PAYER, EMPLOYER, PRACTICE, OPERATOR, AUDITOR = "payer", "employer", "practice", "operator", "auditor"
BREAK_GLASS = "break_glass"
ROLES = (PAYER, EMPLOYER, PRACTICE, OPERATOR, AUDITOR, BREAK_GLASS)
TENANTS = (PAYER,)
"""Roles that send facts and see their own: a payer, or with a plan the administrator of an employer's plan.

An employer is another principal: it reads what was released to it, and nothing about one person (45 CFR 164.504(f)).
"""
SUBSCRIBERS = (PAYER, EMPLOYER, PRACTICE)


@dataclass(frozen=True)
class Scope:
    """What is allowed, in words, and the roles that may hold it."""

    about: str
    roles: tuple[str, ...]
    noted: str = ""
    """What the access log says is read with it, where that may be of persons; a route may note more than that."""


SCOPES: dict[str, Scope] = {
    "events:write": Scope("send events", TENANTS),
    "files:write": Scope("send files", TENANTS),
    "files:read": Scope("see runs of files", (*TENANTS, OPERATOR, AUDITOR)),
    "acknowledgements:read": Scope("fetch X12 acknowledgements, which repeat patients as they were sent", TENANTS),
    "rejects:read": Scope("see what could not be taken in", (*TENANTS, OPERATOR, AUDITOR)),
    "rejects:open": Scope("see rejected records themselves, as far as its role may; noted", (*TENANTS, OPERATOR)),
    "rejects:write": Scope("send rejected records again, corrected or not, or drop them", (*TENANTS, OPERATOR)),
    "feed:read": Scope("read what was emitted to it", SUBSCRIBERS, noted="feed"),
    "practice:read": Scope("read a practice's feedback and readiness", (PAYER, PRACTICE, OPERATOR), noted="practice"),
    "endpoints:manage": Scope("have its feed sent to endpoints, and see what was sent", SUBSCRIBERS),
    "reports:read": Scope("read the reports released to it", (EMPLOYER,)),
    "statements:read": Scope("read its events of a month as a file", SUBSCRIBERS, noted="statement"),
    "individual:read": Scope("read returns to work of persons who authorized it; noted", (EMPLOYER,)),
    "page:read": Scope("open its own page", SUBSCRIBERS),
    "measures:read": Scope("read its settled quality measures", (PRACTICE,)),
    "members:read": Scope("read what is held under one member's token; noted", (PAYER, BREAK_GLASS)),
    "access:read": Scope("see who read personal data", (PAYER, OPERATOR, AUDITOR)),
    "schemas:read": Scope("read the catalogue of events", ROLES),
    "metrics:read": Scope("read the gateway's counters", (OPERATOR,)),
}


def scopes_of(role: str) -> frozenset[str]:
    """All that a role may hold."""
    return frozenset(name for name, scope in SCOPES.items() if role in scope.roles)


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls. An operator or auditor without a payer sees every payer's."""

    role: str
    payer: str = ""
    plan: str = ""
    practice: str = ""
    name: str = ""
    scopes: frozenset[str] = frozenset()
    credential: str = field(default="", compare=False)

    def __str__(self) -> str:
        return principal_name(self.role, self.payer, self.plan, self.practice, self.name)

    @property
    def by(self) -> str:
        """As acts in the operations topic name who acted."""
        return f"gateway/{self}"

    @property
    def tenant(self) -> tuple[str, str]:
        """The payer and plan that it sends for; `Problem` 403 when it sends for none."""
        if self.role not in TENANTS or not self.payer:
            raise Problem(403, "forbidden", f"a credential of the role {self.role} sends for no payer")
        return self.payer, self.plan

    def sees(self, payer: str, plan: str = "") -> bool:
        """Whether what belongs to a payer and plan is shown to it."""
        return (not self.payer or payer == self.payer) and (not self.plan or plan == self.plan)


def principal_name(role: str, payer: str, plan: str, practice: str, name: str) -> str:
    """One holder of credentials, as `employer:employers/lowcountry-retail#clearinghouse`."""
    of = "/".join(part for part in (payer, plan, practice) if part)
    return role + (f":{of}" if of else "") + (f"#{name}" if name else "")


class Authenticates(Protocol):
    """What stands behind `needs`: the app's `state.callers`."""

    async def principal(self, token: str | None, client: str) -> Principal:
        """The holder of a token; `Problem` 401 when there is none, 429 when it or the client asks too often."""

    async def holder(self, token: str) -> Principal | None:
        """The holder of a token that was shown before, asked for again; None when it opens nothing any more."""


BEARER = HTTPBearer(
    auto_error=False,
    scheme_name="bearer",
    description="An API key of `carepact keys create`, or a token of a configured OpenID Connect issuer.",
)


class Needs:
    """A rule: the scope without which a route is not for the caller."""

    def __init__(self, scope: str) -> None:
        if scope not in SCOPES:
            raise ValueError(f"there is no scope {scope}; gateway.principals has the list")
        self.scope = scope

    async def __call__(
        self, request: Request, sent: Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)]
    ) -> Principal:
        callers: Authenticates = request.app.state.callers
        client = request.client.host if request.client else ""
        principal = await callers.principal(sent.credentials if sent else None, client)
        request.state.principal = principal
        if self.scope not in principal.scopes:
            raise Problem(403, "forbidden", f"this needs the scope {self.scope}, which {principal} has not")
        if (what := SCOPES[self.scope].noted) and principal.role != EMPLOYER:
            await request.app.state.accesses.note(principal, what)
        return principal


class Open:
    """The rule of a route that is for everybody."""

    async def __call__(self) -> None:
        """Nothing is asked."""


OPEN = Open()


def needs(scope: str) -> Callable[..., Awaitable[Principal]]:
    """The dependency of a route that is for holders of a scope."""
    return Needs(scope)


def rules(route: APIRoute) -> list[str | None]:
    """The scopes that a route asks for; None among them says that it is for everybody."""
    return [rule.scope if isinstance(rule, Needs) else None for rule in _rules(route.dependant)]


def require_rules(app: FastAPI) -> None:
    """Refuse an app that has a route without a rule, or one that is both open and not."""
    for route in routes(app.routes):
        if isinstance(route, APIRoute):
            found = rules(route)
            if found and (None not in found or len(set(found)) == 1):
                continue
        elif getattr(route, "path", None) == app.openapi_url:
            continue
        raise AssertionError(f"{getattr(route, 'path', route)} declares no single rule")


def routes(found: Iterable[Any]) -> Iterator[Any]:
    """The routes of an app or router, those of the routers in it among them, but for mounted folders of files."""
    for route in found:
        if isinstance(route, Mount) and isinstance(route.app, StaticFiles):
            continue
        within = getattr(getattr(route, "original_router", route), "routes", None)
        if within:
            yield from routes(within)
        else:
            yield route


def _rules(dependant: Dependant) -> list[Needs | Open]:
    found = [dependant.call] if isinstance(dependant.call, Needs | Open) else []
    return found + [rule for below in dependant.dependencies for rule in _rules(below)]

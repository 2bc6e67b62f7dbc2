"""The two-token matrix: every route and verb, asked by each tenant with ids that are another's.

Routes are those that the app has, ids those that the database holds. A route may answer another's id only as it
answers one that nobody has, and no answer holds anything of another.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx
from fastapi.routing import APIRoute

from gateway.app import ROUTERS
from gateway.principals import Principal, routes, rules
from projections.tenancy import tenant_tables
from tests.gateway.served import Served

ANY = "*"
NOT_IDS = {"request_digest", "key_digest"}
BODIES: dict[str, Any] = {"drop": {"why": "not mine"}, "retry": {"reject_ids": ["{id}"]}}
"""What routes that end so are sent; `{id}` is the id tried."""
NOBODYS: dict[str, Callable[[], str]] = {
    "uuid": lambda: str(uuid4()),
    "token": lambda: "a" * 26,
    "other": lambda: f"r-{uuid4().hex}",
}
OWN = {"reject_id": "/v1/rejects/{}", "run_id": "/v1/files/{}", "member": "/v1/members/{}"}
"""Where what is one's own is found, by the column of its id."""
MORE = ("endpoint_id", "payment_id")
"""Further ids that are tried; what is in any other column is to stand in no answer either."""
DENIED = {401, 403, 404, 405, 422}
Tenant = tuple[str, str, str]


@dataclass
class Harvest:
    """Ids by the column they stand in and by whose they are: payer, plan, practice."""

    found: dict[str, dict[Tenant, set[str]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(set)))

    def of(self, caller: Principal, *, own: bool) -> dict[str, list[str]]:
        """What is surely its own, or what is surely another's alone."""
        everyones = [each for tenants in self.found.values() for each in tenants.items()]
        mine = {value for who, values in everyones if not _is_anothers(caller, who) for value in values}
        picked: dict[str, list[str]] = {}
        for column, tenants in self.found.items():
            if own:
                some = {v for who, values in tenants.items() if _is_own(caller, who) for v in values}
            else:
                some = {v for who, values in tenants.items() if _is_anothers(caller, who) for v in values} - mine
            if some:
                picked[column] = sorted(some)
        return picked


def _is_own(caller: Principal, who: Tenant) -> bool:
    payer, plan, practice = who
    if caller.role == "practice":
        return payer == caller.payer and practice == caller.practice
    return payer == caller.payer and (not caller.plan or plan == caller.plan)


def _is_anothers(caller: Principal, who: Tenant) -> bool:
    """A row whose table has no column of plans may be of any plan of its payer."""
    payer, plan, practice = who
    if payer not in ("", "-", caller.payer):
        return True
    if caller.role == "practice":
        return practice not in (ANY, caller.practice)
    return bool(caller.plan) and plan not in (ANY, "", caller.plan)


async def harvested(database: Any) -> Harvest:
    """Every id and token in every table of a tenant."""
    harvest = Harvest()
    for table in await tenant_tables(database):
        columns = {
            row[0]: row[1]
            for row in await database.fetch(
                "SELECT column_name, data_type FROM information_schema.columns "
                "WHERE table_schema = 'public' AND table_name = $1",
                table,
            )
        }
        if "payer" not in columns:
            continue
        ids = [
            c
            for c, kind in columns.items()
            if kind == "uuid" or c == "member" or (c.endswith("_id") and kind == "text")
        ]
        who = ["payer", *(c if c in columns else f"'{ANY}' AS {c}" for c in ("plan", "practice"))]
        for row in await database.fetch(f"SELECT {', '.join([*who, *ids])} FROM {table} LIMIT 400"):
            for column in ids:
                if row[column] and column not in NOT_IDS:
                    harvest.found[column][row["payer"], row["plan"], row["practice"]].add(str(row[column]))
    return harvest


def every_route() -> Iterator[tuple[str, APIRoute]]:
    """Every verb of every route that asks for a scope."""
    for router in ROUTERS:
        for route in routes(router.routes):
            if rules(route) != [None]:
                yield from ((verb, route) for verb in sorted(route.methods))


@dataclass
class Matrix:
    """One caller against what is others'."""

    served: Served
    caller: Principal
    key: str
    harvest: Harvest
    asked: int = 0

    async def check(self) -> None:
        """`AssertionError` names the route that answers what it must not."""
        foreign, own = self.harvest.of(self.caller, own=False), self.harvest.of(self.caller, own=True)
        assert foreign, "there is something to try"
        theirs = {value for values in foreign.values() for value in values}
        tried = [values[0] for column, values in foreign.items() if column in (*OWN, *MORE)]
        async with self.served.client(self.key) as client:
            for verb, route in every_route():
                await self._check_route(client, verb, route, tried, theirs)
            for column, path in OWN.items():
                if self.caller.role == "payer" and column in own:
                    answer = await client.get(path.format(own[column][0]))
                    assert answer.status_code == 200, (self.caller, path, answer.status_code)

    async def _check_route(
        self, client: httpx.AsyncClient, verb: str, route: APIRoute, values: list[str], theirs: set[str]
    ) -> None:
        """Another's id is answered as nobody's; where none can be given, or the scope is lacking, one try is enough."""
        names = [*route.dependant.path_params, *(each for each in route.dependant.query_params if each.alias in OWN)]
        kinds = {_kind(value) for value in values}
        nobody = {kind: await self._ask(client, verb, route, NOBODYS[kind](), theirs) for kind in sorted(kinds)}
        lacking = all(told == (403, "forbidden") for told in nobody.values())
        by_id = bool(names) or route.path.endswith(tuple(BODIES))
        for value in values if by_id and not lacking else values[:1]:
            told = await self._ask(client, verb, route, value, theirs - {value})
            if by_id or lacking:
                where = f"{self.caller}: {verb} {route.path} answers another's id by {told}"
                assert told[0] in DENIED, where
                assert told == nobody[_kind(value)], f"{where}, nobody's by {nobody[_kind(value)]}"

    async def _ask(
        self, client: httpx.AsyncClient, verb: str, route: APIRoute, value: str, theirs: set[str]
    ) -> tuple[int, str]:
        """Status and code of an answer, in which nothing of others may stand."""
        self.asked += 1
        path = re.sub(r"\{[^}]+\}", value, route.path)
        queries = {each.alias: value for each in route.dependant.query_params if each.alias not in ("limit", "format")}
        body = next((each for end, each in BODIES.items() if route.path.endswith(end)), None)
        sent = None if body is None else {k: [value] if v == ["{id}"] else v for k, v in body.items()}
        async with client.stream(verb, path, params=queries if verb == "GET" else None, json=sent) as answer:
            text = b""
            async for chunk in answer.aiter_bytes():
                text += chunk
                if b"event: caught-up" in text:
                    break  # a stream goes on
        found = [each for each in theirs if each.encode() in text]
        assert not found, f"{self.caller}: {verb} {path} tells {found[:3]} of another"
        assert answer.status_code < 500, f"{self.caller}: {verb} {path}: {answer.status_code}"
        code = re.search(rb'"code":"([a-z_]+)"', text) if answer.status_code >= 400 else None
        return answer.status_code, code[1].decode() if code else ""


def _kind(value: str) -> str:
    if re.fullmatch(r"[a-z2-7]{26}", value):
        return "token"
    return "uuid" if re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", value) else "other"

"""The gateway as its callers meet it: a real process, a worker, Kafka and PostgreSQL. One world for all of it."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
import pytest_asyncio
from confluent_kafka import KafkaException

from carepact.local.platform import LocalPlatform
from gateway.principals import Principal
from streams.admin import Admin
from streams.topics import (
    episodes_topic,
    inbox_topic,
    log_topic,
    operations_topic,
    payments_topic,
    rejects_topic,
    settlements_topic,
)
from tests.end_to_end.harness import World, population, until, world_of
from tests.formats.test_mapping import CLAIMS, EXAMPLES
from tests.formats.x12_samples import PROFESSIONAL, made
from tests.gateway.all_outputs import (
    NOBODYS,
    ask_every_command,
    ask_every_route,
    be_sent_every_event,
    send_every_file,
    undecided,
)
from tests.gateway.canaries import MAY_NAME, canaries
from tests.gateway.served import Served, served
from tests.gateway.two_tokens import Matrix, harvested
from tests.streams.ways_in import claim, ndjson, records_of

pytestmark = pytest.mark.platform
LINES = {"Content-Type": "application/x-ndjson"}
JSON = {"Content-Type": "application/cloudevents+json"}
MEMBER = "1EG4TE5MK73"
PALMETTO = "palmetto-manufacturing"


@pytest_asyncio.fixture(scope="module")
async def gateway(platform: LocalPlatform, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    folder = tmp_path_factory.mktemp("http")
    async with world_of(platform, "http", folder, ("medicare", "employers")) as world, served(world) as running:
        yield running


@pytest_asyncio.fixture(scope="module")
async def key(gateway: Served) -> str:
    return await gateway.key("payer", "medicare")


@pytest_asyncio.fixture
async def client(gateway: Served, key: str) -> AsyncIterator[httpx.AsyncClient]:
    async with gateway.client(key) as opened:
        yield opened


def event(claim_id: str, **attributes: Any) -> bytes:
    return ndjson(claim(MEMBER, claim_id), f"id-{claim_id}", **attributes)


def results(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 202, answer.text
    document = answer.json()
    found = [one["result"] for one in document["results"]]
    assert [one["index"] for one in document["results"]] == list(range(len(found)))
    assert document["read"] == len(found) == document["accepted"] + document["duplicate"] + document["rejected"]
    return found


async def facts(gateway: Served, short: str = "medicare") -> list[dict[str, Any]]:
    records = await records_of(gateway.world.connections(), log_topic(gateway.world.payer(short).name))
    return [orjson.loads(record.value) for record in records]


async def test_events_come_alone_in_an_array_and_by_lines(gateway: Served, client: httpx.AsyncClient) -> None:
    alone = await client.post("/v1/events", content=event("A1"), headers=JSON)
    array = await client.post("/v1/events", json=[orjson.loads(event("A1")), orjson.loads(event("A2"))])
    packed = gzip.compress(event("A2") + b"\r\n\r\n" + event("A3"))
    lines = await client.post("/v1/events", content=packed, headers=LINES | {"Content-Encoding": "gzip"})
    assert [results(each) for each in (alone, array, lines)] == [
        ["accepted"], ["duplicate", "accepted"], ["duplicate", "accepted"],
    ]  # fmt: skip
    ids = [one["event_id"] for answer in (alone, array, lines) for one in answer.json()["results"]]
    log = [fact["id"] for fact in await facts(gateway)]
    assert [log.count(each) for each in ids] == [1] * 5


async def test_what_the_tables_know_is_known_after_a_restart(gateway: Served, client: httpx.AsyncClient) -> None:
    assert results(await client.post("/v1/events", content=event("B1"), headers=JSON)) == ["accepted"]
    keyed: Any = {"content": event("B2"), "headers": JSON | {"Idempotency-Key": "before-the-restart"}}
    first = await client.post("/v1/events", **keyed)
    await gateway.world.settled()
    starts = gateway.kept.starts
    gateway.world.platform.kill(gateway.kept)
    await gateway.kept.until_started_again(starts)
    before = len(await facts(gateway))
    async with gateway.client(client.headers["authorization"].removeprefix("Bearer ")) as again:
        assert results(await again.post("/v1/events", content=event("B1"), headers=JSON)) == ["duplicate"]
        second = await again.post("/v1/events", **keyed)
        assert (results(second), second.content) == (["accepted"], first.content)
    assert len(await facts(gateway)) == before


async def test_a_bad_event_stops_no_other_and_is_kept_with_place_and_remedy(
    gateway: Served, client: httpx.AsyncClient
) -> None:
    wrong_day = event("C1").replace(b'"effective_on":"2024-03-05"', b'"effective_on":"2024-03-35"')
    other_payer = event("C2", payer="another")
    deep = b'{"a":' * 10_000 + b"1" + b"}" * 10_000
    sent = [event("C0"), wrong_day, other_payer, b"\xff\x00", deep, event("C3")]
    answer = await client.post("/v1/events", content=b"\n".join(sent), headers=LINES)
    assert results(answer) == ["accepted", "rejected", "rejected", "rejected", "rejected", "accepted"]
    told = [(one["code"], one["pointer"]) for one in answer.json()["results"] if one["result"] == "rejected"]
    assert told == [
        ("not_a_date", "/data/effective_on"), ("unknown_payer", "/payer"), ("unreadable", None), ("too_deep", None),
    ]  # fmt: skip
    ids = [one["reject_id"] for one in answer.json()["results"] if one["result"] == "rejected"]
    await until(lambda: all_listed(client, ids), "the rejects are in their table")
    for one in answer.json()["results"]:
        if one["result"] == "rejected":
            shown = (await client.get(f"/v1/rejects/{one['reject_id']}", params={"view": "none"})).json()
            assert [shown[name] for name in ("code", "field", "file", "line", "status")] == [
                one["code"], one["pointer"], "http", one["index"] + 1, "open",
            ]  # fmt: skip
    paged, after = [], None
    while True:
        page = (await client.get("/v1/rejects", params={"limit": 1} | ({"after": after} if after else {}))).json()
        paged += [each["reject_id"] for each in page["rejects"]]
        if not (after := page["next"]):
            break
    assert set(ids) <= set(paged) and len(paged) == len(set(paged))


async def test_a_rejected_record_is_shown_by_role_and_each_look_is_noted(
    gateway: Served, client: httpx.AsyncClient
) -> None:
    bad = event("G1").replace(b'"effective_on":"2024-03-05"', b'"effective_on":"2024-03-35"')
    (one,) = (await client.post("/v1/events", content=bad, headers=JSON)).json()["results"]
    await until(lambda: all_listed(client, [one["reject_id"]]), "the reject is in its table")
    place = f"/v1/rejects/{one['reject_id']}"
    shown = {view: (await client.get(place, params={"view": view})).json() for view in ("none", "masked", "limited")}
    assert shown["none"]["record"] is None
    assert '"effective_on":"9999-99-99"' in shown["masked"]["record"]
    assert '"claim_id":"G1"' in shown["limited"]["record"]
    async with httpx.AsyncClient(base_url=str(client.base_url), headers=client.headers) as theirs:  # as was sent
        full = await theirs.get(place, params={"view": "full", "purpose": "to send it again"})
        assert full.json()["record"].encode() == bad
    async with gateway.client(await gateway.key("auditor")) as auditor:
        assert (await auditor.get(place)).json()["view"] == "masked"
        refused = await auditor.get(place, params={"view": "limited"})
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    noted = [orjson.loads(each.value) for each in await records_of(gateway.world.connections(), operations(gateway))]
    reads = [each["data"] for each in noted if each["type"] == "carepact.PersonalDataRead.v1"]
    looks = [each for each in reads if each["what"] == "reject"]
    assert [(each["by"].partition(":")[0], each["purpose"].partition(":")[0]) for each in looks] == [
        ("gateway/payer", "masked"),
        ("gateway/payer", "limited"),
        ("gateway/payer", "full"),
        ("gateway/auditor", "masked"),
    ]


async def all_listed(client: httpx.AsyncClient, ids: Sequence[str]) -> bool:
    listed = (await client.get("/v1/rejects", params={"limit": 1_000})).json()["rejects"]
    return set(ids) <= {each["reject_id"] for each in listed}


async def test_rejects_are_sent_again_corrected_or_dropped_by_who_may(
    gateway: Served, client: httpx.AsyncClient
) -> None:
    wrong = [event(f"J{n}").replace(b'"effective_on":"2024-03-05"', b'"effective_on":"2024-03-35"') for n in range(3)]
    answer = await client.post("/v1/events", content=b"\n".join(wrong), headers=LINES)
    ids = [one["reject_id"] for one in answer.json()["results"]]
    await until(lambda: all_listed(client, ids), "the rejects are in their table")

    again = await client.post("/v1/rejects/retry", json={"reject_ids": ids}, headers={"Idempotency-Key": "again"})
    document = again.json()
    assert (again.status_code, document["read"], document["rejected"]) == (200, 3, 3), again.text
    assert [(each["reject_id"], each["status"]) for each in document["results"]] == [(each, "open") for each in ids]
    (still,) = document["results"][0]["refusals"]
    assert (still["code"], still["field"], still["reject_id"]) == ("not_a_date", "/data/effective_on", ids[0])
    once = await client.post("/v1/rejects/retry", json={"reject_ids": ids}, headers={"Idempotency-Key": "again"})
    assert once.content == again.content

    mended = await client.post(
        "/v1/rejects/corrections", params={"reject_id": ids[:2]}, content=b"\n".join(map(event, ("J0", "J1")))
    )
    assert (mended.status_code, mended.json()["accepted"]) == (200, 2), mended.text
    dropped = await client.post(f"/v1/rejects/{ids[2]}/drop", json={"why": "a test of the sender"})
    assert dropped.json() == {"reject_id": ids[2], "status": "dropped", "why": "a test of the sender"}

    async def done_with() -> bool:
        shown = [(await client.get(f"/v1/rejects/{each}", params={"view": "none"})).json() for each in ids]
        return [(each["status"], each["why"]) for each in shown] == [
            ("retried", "sent again, corrected"), ("retried", "sent again, corrected"),
            ("dropped", "a test of the sender"),
        ]  # fmt: skip

    await until(done_with, "the table tells what became of them")
    late = await client.post(f"/v1/rejects/{ids[0]}/drop", json={"why": "too late"})
    assert (late.status_code, late.json()["code"]) == (409, "done_with")
    log = [fact["data"].get("claim_id") for fact in await facts(gateway)]
    assert [log.count(claim_id) for claim_id in ("J0", "J1", "J2")] == [1, 1, 0]


async def test_nobody_sends_anothers_rejects_again(gateway: Served, client: httpx.AsyncClient) -> None:
    bad = event("L1").replace(b'"effective_on":"2024-03-05"', b'"effective_on":"2024-03-35"')
    (one,) = (await client.post("/v1/events", content=bad, headers=JSON)).json()["results"]
    place = one["reject_id"]
    await until(lambda: all_listed(client, [place]), "the reject is in its table")
    other = await gateway.key("payer", "employers", "lowcountry-retail")
    for token, status in ((other, 404), (await gateway.key("auditor"), 403)):
        async with gateway.client(token) as theirs:
            for answer in (
                await theirs.post("/v1/rejects/retry", json={"reject_ids": [place]}),
                await theirs.post("/v1/rejects/corrections", params={"reject_id": place}, content=event("L1")),
                await theirs.post(f"/v1/rejects/{place}/drop", json={"why": "not mine"}),
            ):
                assert answer.status_code == status, answer.text
    async with gateway.client(await gateway.key("operator")) as operator:
        answer = await operator.post(f"/v1/rejects/{place}/drop", json={"why": "a test"})
        assert answer.status_code == 200, answer.text


async def test_one_id_with_two_contents_is_a_conflict(gateway: Served, client: httpx.AsyncClient) -> None:
    assert results(await client.post("/v1/events", content=event("D1"), headers=JSON)) == ["accepted"]
    other = ndjson(claim(MEMBER, "D2"), "id-D1")
    answer = await client.post("/v1/events", content=other, headers=JSON)
    assert results(answer) == ["rejected"]
    assert answer.json()["results"][0]["code"] == "conflict"
    await gateway.world.settled()
    listed = (await client.get("/v1/rejects", params={"code": "conflict"})).json()["rejects"]
    assert len(listed) == 1


async def test_a_request_sent_again_with_its_key_gets_its_answer_again(client: httpx.AsyncClient) -> None:
    keyed = JSON | {"Idempotency-Key": "once"}
    first = await client.post("/v1/events", content=event("E1"), headers=keyed)
    second = await client.post("/v1/events", content=event("E1"), headers=keyed)
    assert (first.content, results(second)) == (second.content, ["accepted"])
    assert "idempotency-replayed" not in first.headers and second.headers["idempotency-replayed"] == "true"
    other = await client.post("/v1/events", content=event("E2"), headers=keyed)
    assert (other.status_code, other.json()["code"]) == (422, "key_reused")


async def test_the_payer_is_the_credentials_and_others_see_nothing(gateway: Served, client: httpx.AsyncClient) -> None:
    world = gateway.world
    administrator = await gateway.key("payer", "employers", "lowcountry-retail")
    async with gateway.client(administrator) as theirs, gateway.client(await gateway.key("auditor")) as auditor:
        answer = await theirs.post("/v1/events", content=event("F1"), headers=JSON)
        assert results(answer) == ["accepted"]
        log = {fact["id"]: fact for fact in await facts(gateway, "employers")}
        assert log[answer.json()["results"][0]["event_id"]]["plan"] == f"{world.space}-lowcountry-retail"
        other = event("F2", plan=f"{world.space}-palmetto-manufacturing")
        answer = await theirs.post("/v1/events", content=other, headers=JSON)
        (refused,) = answer.json()["results"]
        assert (refused["result"], refused["code"]) == ("rejected", "other_plan")
        await until(lambda: all_listed(theirs, [refused["reject_id"]]), "the reject is in its table")
        assert (await client.get(f"/v1/rejects/{refused['reject_id']}")).status_code == 404
        assert (await auditor.get(f"/v1/rejects/{refused['reject_id']}")).status_code == 200
        assert (await auditor.post("/v1/events", content=event("F3"), headers=JSON)).status_code == 403
        listed = (await theirs.get("/v1/rejects")).json()["rejects"]
        assert {each["plan"] for each in listed} == {f"{world.space}-lowcountry-retail"}


async def test_a_file_is_a_run_with_a_result_and_all_duplicates_the_second_time(
    gateway: Served, client: httpx.AsyncClient
) -> None:
    lines = population(gateway.world.folder, gateway.world.space, 6, seed=4)["medicare"]
    body = b"\n".join([*lines, b"not json"])
    wait = {"Prefer": "wait=60"}
    first = await client.post("/v1/files", content=gzip.compress(body), headers=wait)
    assert first.status_code == 202, first.text
    run = first.json()
    assert (run["status"], run["exact"], run["read"]) == ("complete", True, len(lines) + 1)
    assert (run["rejected"], run["accepted"] + run["duplicate"]) == (1, len(lines))
    shown = (await client.get(first.headers["location"])).json()
    assert shown == run
    assert run["quality"]["rejects"] == {"unreadable": 1}
    assert sum(run["quality"]["facts"].values()) == len(lines)
    again = (await client.post("/v1/files", content=gzip.compress(body), headers=wait)).json()
    assert (again["accepted"], again["duplicate"], again["rejected"]) == (0, len(lines), 1)
    listed = (await client.get("/v1/files")).json()["runs"]
    assert [each["run_id"] for each in listed][:2] == [again["run_id"], run["run_id"]]
    employer = await gateway.key("payer", "employers", "palmetto-manufacturing")
    async with gateway.client(employer) as other:
        assert (await other.get(first.headers["location"])).status_code == 404
        assert (await other.get("/v1/files")).json() == {"runs": []}
    async with gateway.client(await gateway.key("operator")) as operator:
        assert (await operator.get(first.headers["location"])).json()["run_id"] == run["run_id"]


async def test_a_table_comes_with_its_mapping(gateway: Served, client: httpx.AsyncClient) -> None:
    by, wait = (EXAMPLES / "claims.toml").read_bytes(), {"Prefer": "wait=60"}
    table = CLAIMS.replace("03/09/2025", "03/39/2025").encode("cp1252")
    answer = await client.post("/v1/files", files=[("mapping", by), ("file", table)], headers=wait)
    assert answer.status_code == 202, answer.text
    run = answer.json()
    assert [run[name] for name in ("format", "status", "exact", "read", "accepted", "rejected")] == [
        "mapped", "complete", True, 3, 2, 1,
    ]  # fmt: skip
    mended = await client.post("/v1/files", files=[("mapping", by), ("file", CLAIMS.encode("cp1252"))], headers=wait)
    assert [mended.json()[name] for name in ("read", "accepted", "duplicate")] == [3, 1, 2]
    lacking = await client.post("/v1/files", files=[("mapping", by), ("file", b"CLAIM,VERSION\r\n1,2\r\n")])
    assert (lacking.status_code, lacking.json()["code"]) == (422, "bad_mapping")
    assert "lacks columns" in lacking.json()["detail"]
    named = await client.post("/v1/files?format=tuva", files=[("mapping", by), ("file", table)])
    assert (named.status_code, named.json()["code"]) == (422, "unknown_format")


async def test_a_month_of_files_has_a_card(gateway: Served, client: httpx.AsyncClient) -> None:
    listed = (await client.get("/v1/files")).json()["runs"]
    card = (await client.get("/v1/quality")).json()
    assert card["runs"] == len([run for run in listed if run["status"] == "complete"])
    assert card["read"] == sum(run["read"] for run in listed)
    assert (await client.get("/v1/quality", params={"payer": "http-employers"})).status_code == 404
    payer = gateway.world.payer("medicare").name
    told = await gateway.command("quality", "--payer", payer, "--json")
    assert (told.exit_code, orjson.loads(told.stdout)) == (0, card)
    shown = await gateway.command("quality", "--payer", payer, "--month", card["month"])
    assert f"{card['read']:,} rows read" in shown.stdout
    assert (await gateway.command("quality", "--payer", "http-employers")).exit_code == 4


async def test_an_x12_file_is_acknowledged_to_its_sender_alone(gateway: Served, client: httpx.AsyncClient) -> None:
    sent = made("837", PROFESSIONAL)
    answer = await client.post("/v1/files", content=sent, headers={"Prefer": "wait=60", "File-Name": "Canaria.837"})
    run = answer.json()
    assert (run["status"], run["rejected"], run["acknowledgements"]) == ("complete", 0, ["ta1", "999", "277ca"])
    place = f"{answer.headers['location']}/acknowledgements"
    async with httpx.AsyncClient(base_url=str(client.base_url), headers=client.headers) as theirs:  # as was sent
        for kind, says in (("ta1", b"~TA1*000000907*"), ("999", b"~AK9*A*1*1*1~"), ("277ca", b"ACCOUNT1")):
            told = await theirs.get(f"{place}/{kind}")
            assert (told.status_code, told.headers["content-type"]) == (200, "application/edi-x12")
            assert told.content.startswith(b"ISA*") and says in told.content.replace(b"\n", b"")
    folder = gateway.world.platform.home.path / "gateway" / "acknowledgements"
    sealed = b"".join(path.read_bytes() for path in folder.glob(f"{run['run_id']}.*"))
    assert sealed and b"ACCOUNT1" not in sealed and b"CANARY" not in sealed
    assert (await client.get(f"{place}/835")).status_code == 422
    async with gateway.client(await gateway.key("operator")) as operator:
        assert (await operator.get(f"{place}/999")).status_code == 403
    async with gateway.client(await gateway.key("payer", "employers", "palmetto-manufacturing")) as other:
        assert (await other.get(f"{place}/999")).status_code == 404
    noted = [orjson.loads(each.value) for each in await records_of(gateway.world.connections(), operations(gateway))]
    reads = [each["data"] for each in noted if each["type"] == "carepact.PersonalDataRead.v1"]
    assert [each["subject"] for each in reads if each["what"] == "acknowledgement"] == [run["run_id"]]


def operations(gateway: Served) -> str:
    return operations_topic(gateway.world.space)


@pytest.mark.parametrize(
    ("status", "code", "body", "headers", "query"),
    [
        (422, "unknown_format", b"hello", {}, ""),
        (422, "unknown_format", b"{}", {}, "?format=word"),
        (422, "bad_request", b"{}", {}, "?shift_years=1000"),
        (400, "digest_mismatch", b"{}", {"Content-Digest": f"sha-256=:{'A' * 43}=:"}, ""),
    ],
)
async def test_a_file_that_is_not_one_is_a_problem(
    client: httpx.AsyncClient, status: int, code: str, body: bytes, headers: dict[str, str], query: str
) -> None:
    answer = await client.post(f"/v1/files{query}", content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_a_revoked_key_opens_nothing(gateway: Served) -> None:
    words = ("--role", "operator", "--name", "test", "--json")
    created = await gateway.command("keys", "create", *words)
    shown = orjson.loads(created.stdout)
    assert (created.exit_code, shown["in_force"], shown["principal"]) == (0, True, "operator#test")
    async with gateway.client(shown["key"]) as client:
        counted = await client.get("/metrics")
        assert counted.status_code == 200
        assert 'route="/v1/events",status="202"' in counted.text
    assert (await gateway.command("keys", "create", *words)).exit_code == 0
    third = await gateway.command("keys", "create", *words)
    assert (third.exit_code, "has 2 keys already" in third.stderr) == (1, True)
    assert (await gateway.command("keys", "revoke", shown["credential_id"])).exit_code == 0
    async with gateway.client(shown["key"]) as client:

        async def refused() -> bool:
            return (await client.get("/metrics")).status_code == 401

        await until(refused, "the gateway knows that the key was revoked")
    listed = (await gateway.command("keys", "list", "--json")).stdout
    assert shown["key"].removeprefix(f"cp_{shown['credential_id']}_") not in listed
    by_id = {row["credential_id"]: row["status"] for row in map(orjson.loads, listed.splitlines())}
    assert by_id[shown["credential_id"]] == "revoked"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (2, ["create", "--role", "payer"]),
        (2, ["create", "--role", "king"]),
        (2, ["create", "--role", "employer", "--payer", "http-employers"]),
        (2, ["create", "--role", "auditor", "--scope", "events:write"]),
        (2, ["create", "--role", "operator", "--name", "Canaria Quetzal"]),
        (4, ["create", "--role", "payer", "--payer", "nobody"]),
        (4, ["create", "--role", "payer", "--payer", "http-employers", "--plan", "nobody"]),
        (4, ["revoke", "aaaaaaaaaaaaaaaa"]),
    ],
)
async def test_a_key_that_cannot_be_is_refused(gateway: Served, code: int, words: list[str]) -> None:
    assert (await gateway.command("keys", *words)).exit_code == code


async def test_no_tenants_key_opens_what_is_anothers(gateway: Served, client: httpx.AsyncClient) -> None:
    """The two-token matrix: whatever the tests above have left is tried by everybody, on every route and verb."""
    world, space = gateway.world, gateway.world.space
    plans = [f"{space}-{plan}" for plan in ("lowcountry-retail", "palmetto-manufacturing")]
    administrators = [await gateway.key("payer", "employers", plan) for plan in ("lowcountry-retail", PALMETTO)]
    for administrator, plan in zip(administrators, plans, strict=True):
        async with gateway.client(administrator) as theirs:
            sent = event(f"M-{plan}", plan=plan), event("M2", plan=plan).replace(b"2024-03-05", b"2024-03-35")
            assert results(await theirs.post("/v1/events", content=b"\n".join(sent), headers=LINES))[0] == "accepted"
            assert (await theirs.post("/v1/files", content=sent[0], headers={"Prefer": "wait=60"})).status_code == 202
    await world.settled()
    async with world.opened() as database:
        harvest = await harvested(database)
    medicare, employers = world.payer("medicare").name, world.payer("employers").name
    callers = [
        (Principal("payer", medicare), await gateway.key("payer", "medicare")),
        (Principal("payer", employers, plans[0]), administrators[0]),
        (Principal("employer", employers, plans[1]), await gateway.key("employer", "employers", PALMETTO)),
        (Principal("practice", medicare, practice="P9"), await gateway.key("practice", "medicare", practice="P9")),
        (Principal("break_glass", medicare), await gateway.key("break_glass", "medicare", why="a test")),
    ]
    assert {"reject_id", "run_id", "member", "event_id"} <= set(harvest.found)
    for caller, key in callers:
        await Matrix(gateway, caller, key, harvest).check()


async def test_reads_of_a_member_are_noted_and_shown_to_the_payer(gateway: Served, client: httpx.AsyncClient) -> None:
    member = gateway.world.token("medicare", "", "mbi", MEMBER)
    assert results(await client.post("/v1/events", content=event("N1"), headers=JSON)) == ["accepted"]
    await gateway.world.settled()
    shown = await client.get(f"/v1/members/{member}")
    assert shown.status_code == 200 and shown.json()["facts"]["carepact.ProfessionalClaimReceived.v1"] > 0
    async with gateway.client(await gateway.key("break_glass", "medicare", why="a subpoena")) as glass:
        assert (await glass.get(f"/v1/members/{member}")).json()["code"] == "reason_required"
        seen = await glass.get(f"/v1/members/{member}", params={"reason": "case 17"})
        assert seen.json() == shown.json()
        assert (await glass.get("/v1/rejects")).status_code == 403
    assert (await client.get("/v1/feed")).status_code == 200

    async def noted() -> Any:
        reads = (await client.get("/v1/access", params={"limit": 1000})).json()["reads"]
        mine = [(each["what"], each["purpose"], each["by"]) for each in reads if each["subject"] in (member, "-")]
        return mine if ("feed", "what is its own, over HTTP") in {each[:2] for each in mine} else None

    reads = await until(noted, "the reads are in their table")
    name = gateway.world.payer("medicare").name
    assert ("member", "the payer's own work", f"gateway/payer:{name}") in reads
    assert ("member", "case 17", f"gateway/break_glass:{name}") in reads
    async with gateway.client(await gateway.key("payer", "employers")) as other:
        assert member not in (await other.get("/v1/access", params={"limit": 1000})).text


async def test_a_key_may_be_a_kafka_user_and_is_none_once_revoked(gateway: Served) -> None:
    payer = gateway.world.payer("medicare").name
    made = await gateway.command(
        "keys", "create", "--role", "payer", "--payer", payer, "--name", "k", "--kafka", "--json"
    )
    assert made.exit_code == 0, made.output
    shown = orjson.loads(made.stdout)
    user = replace(gateway.world.connections(), username=shown["kafka_user"], password=shown["key"])
    own = {kind(payer) for kind in (inbox_topic, payments_topic, episodes_topic, settlements_topic)}
    assert await asyncio.to_thread(Admin(user.confluent()).names) == own
    assert (await gateway.command("keys", "revoke", shown["credential_id"])).exit_code == 0
    with pytest.raises(KafkaException):
        await asyncio.to_thread(Admin(user.confluent(), patience_seconds=5).names)
    glass = ("keys", "create", "--role", "break_glass", "--payer", payer)
    assert (await gateway.command(*glass)).exit_code == 2, "it needs a reason"
    assert (await gateway.command(*glass, "--why", "a subpoena", "--kafka")).exit_code == 2


def test_every_command_is_asked_or_says_why_not() -> None:
    assert undecided() == []


async def test_no_answer_log_metric_table_webhook_or_topic_names_a_patient(
    gateway: Served, client: httpx.AsyncClient, key: str, tmp_path: Path
) -> None:
    """Runs last: whatever the tests above were answered counts too; then every file is sent, all asked and all told."""
    world, payer = gateway.world, gateway.world.payer("medicare").name
    canary = event("X1").replace(b'"action"', b'"Canaria"')
    bodies = [
        canary,
        b'{"Canaria": "1951-07-13"',
        b"[" + canary,
        event("X2").replace(b"2024-03-05", b"Quetzal"),
        b"Canaria",
    ]
    for body in bodies:
        for headers in (JSON, LINES, {"Content-Type": "Canaria/Quetzal"}):
            await client.post("/v1/events?name=Canaria", content=body, headers=headers)
        name = {"File-Name": "Canaria-Quetzal.csv", "Prefer": "wait=5"}
        await client.post("/v1/files", content=body, headers=name)
        await client.post("/v1/files?format=ndjson", content=body, headers=name)
    x12 = b"ISA*00*          *00*          *ZZ*CANARIA        *ZZ*QUETZAL        *240101*1200*^*00501*000000001*0*P*:~"
    await client.post("/v1/files?format=x12", content=x12.replace(b"CANARIA", b"Canaria"), headers=name)
    table = CLAIMS.replace("Müller", "Canaria").replace("02/03/1950", "Quetzal").encode("cp1252")
    for by in (EXAMPLES / "claims.toml").read_bytes(), b'name = "Canaria"', b"\xff":
        await client.post("/v1/files", files=[("mapping", by), ("file", table)], headers={"Prefer": "wait=60"})
    await client.get("/v1/files/Canaria?Quetzal=1951-07-13")
    await client.get("/v1/Canaria", headers={"Authorization": "Bearer Canaria"})
    assert await send_every_file(gateway, key, tmp_path) > 40
    await world.settled()
    listed = (await client.get("/v1/rejects", params={"limit": 1_000})).json()["rejects"]
    for each in {(each["code"], each["file"]): each for each in listed}.values():
        assert (await client.get(f"/v1/rejects/{each['reject_id']}", params={"view": "limited"})).status_code == 200
    again = [each["reject_id"] for each in listed if each["status"] == "open" and each["code"] == "not_a_date"]
    await client.post("/v1/rejects/retry", json={"reject_ids": again}, headers={"Idempotency-Key": "Canaria-Quetzal"})
    again = again[:20]
    for body in bodies:
        await client.post("/v1/rejects/corrections", params={"reject_id": again[:2]}, content=body)
    await client.post(f"/v1/rejects/{again[0]}/drop", json={"Canaria": "Quetzal"})
    await client.get("/v1/files")
    async with world.opened() as database:
        ids = (await harvested(database)).of(Principal("payer", payer), own=True)
    keys = [
        client.headers["authorization"].removeprefix("Bearer "),
        await gateway.key("operator"),
        await gateway.key("auditor"),
        await gateway.key("practice", "medicare", practice="P9"),
        await gateway.key("employer", "employers", PALMETTO),
        await gateway.key("break_glass", "medicare", why="a test"),
    ]
    assert await ask_every_route(gateway, keys, ids) > 100
    (tmp_path / "canaries.ndjson").write_bytes(b"\n".join([event("X3"), canary, bodies[1], bodies[3]]))
    given = {
        "payer": payer,
        "employers": world.payer("employers").name,
        "plan": f"{world.space}-{PALMETTO}",
        "endpoint_id": NOBODYS,
        "episode_id": NOBODYS,
    }
    told = await ask_every_command(gateway, given | {name: values[0] for name, values in ids.items()}, tmp_path)
    sent = await be_sent_every_event(gateway, payer)
    assert sent
    said = [*gateway.answers, *told, *sent, *(path.read_bytes() for path in logs_of(world))]
    for topic in (rejects_topic(world.payer("medicare").name), operations(gateway)):
        said += [record.value for record in await records_of(world.connections(), topic)]
    async with world.opened() as database:
        for row in await database.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"):
            said.append(str(await database.fetch(f'SELECT * FROM "{row[0]}"')).encode())
    assert len(said) > 100
    naming = [each for each in said if MAY_NAME.search(each)]
    assert any(b"Canaria" in each for each in naming) and all(b"~\nST*277*" in each for each in naming)
    lower = [MAY_NAME.sub(b"", each).lower() for each in said]
    for canary in canaries():
        assert [said[at][:2_000] for at, text in enumerate(lower) if canary.lower() in text] == [], canary


def logs_of(world: World) -> list[Path]:
    """What the gateway and the worker of a world said."""
    found = sorted(world.platform.home.logs.glob(f"{world.space}-*.log"))
    assert len(found) == 2
    return found


def test_the_spool_is_empty_in_the_end(gateway: Served) -> None:
    incoming: Path = gateway.world.platform.home.path / "gateway" / "incoming"
    assert list(incoming.iterdir()) == []

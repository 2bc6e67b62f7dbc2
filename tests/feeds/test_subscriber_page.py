"""A subscriber's page works without scripts: a browser signs in, sees what is its own, and sends its forms."""

from __future__ import annotations

import re
from base64 import b64encode
from datetime import date
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path

import asyncpg
import httpx
import orjson
import pytest
from pydantic import TypeAdapter

from carepact.local.platform import LocalPlatform
from contracts.envelope import Envelope
from contracts.events import EMITTED
from gateway.event_examples import EXAMPLES, TYPES
from gateway.principals import Principal, scopes_of
from gateway.sessions import COOKIE, SECONDS, opened, sealed
from gateway.subscriber_page import months
from tests.feeds.emitting import reaching
from tests.feeds.released import OTHER_PLAN, PLAN, project, release_of
from tests.gateway.served import app_of, client_of

EMPLOYER = Principal("employer", "employers", PLAN, scopes=scopes_of("employer"))
PRACTICE = Principal("practice", "medicare", practice="P1", scopes=scopes_of("practice"))
HTML = {"Accept": "text/html,application/xhtml+xml"}


def test_examples_are_events_as_their_models_have_them() -> None:
    models = {model.__name__: model for model in EMITTED}
    for name, example in EXAMPLES.items():
        Envelope.model_validate(example)
        TypeAdapter(models[name]).validate_json(orjson.dumps(example["data"]))
    assert {name for names in TYPES.values() for name in names} == set(EXAMPLES)


def test_a_session_is_sealed_and_ends() -> None:
    key = b"k" * 32
    cookie = sealed(key, "cp_secret", 1_000.0)
    assert "secret" not in cookie
    assert opened(key, cookie, 1_000.0 + SECONDS - 1) == "cp_secret"
    for other, text, now in ((key, cookie, 1_000.0 + SECONDS), (b"x" * 32, cookie, 1_000.0), (key, "no", 1_000.0)):
        assert opened(other, text, now) is None


def test_months_are_those_that_are_over() -> None:
    assert months(date(2026, 2, 1))[:3] == ["2026-01", "2025-12", "2025-11"]


async def test_who_has_not_signed_in_is_led_to_the_form_and_a_wrong_key_opens_nothing(tmp_path: Path) -> None:
    async with client_of(app_of(tmp_path, employer=EMPLOYER)) as client:
        away = await client.get("/me", headers=HTML)
        assert (away.status_code, away.headers["location"]) == (303, "/sign-in")
        assert (await client.get("/me")).status_code == 401
        form = await client.get("/sign-in")
        assert form.status_code == 200 and 'type="password"' in form.text
        wrong = await client.post("/sign-in", data={"key": "wrong"})
        assert wrong.status_code == 401 and "set-cookie" not in wrong.headers and "wrong" not in wrong.text
        right = await client.post("/sign-in", data={"key": "employer"})
        cookie = right.headers["set-cookie"]
        assert (right.status_code, right.headers["location"]) == (303, "/me")
        assert all(word in cookie for word in ("HttpOnly", "SameSite=strict", "Path=/me", COOKIE))
        assert "employer" not in cookie
        foreign = await client.post("/me/sign-out", headers={"Sec-Fetch-Site": "cross-site"})
        assert foreign.status_code == 403


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def assert_plain(answer: httpx.Response) -> None:
    """No script, nothing to load, a strict policy, forms to here alone, and a label for each field."""
    assert answer.headers["content-type"].startswith("text/html")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "form-action 'self'" in policy and "unsafe" not in policy
    style = answer.text.partition("<style>")[2].partition("</style>")[0]
    assert b64encode(sha256(style.encode()).digest()).decode() in policy
    tags = Page(answer.text).tags
    assert not {"script", "img", "link", "iframe"} & {tag for tag, _ in tags}
    assert not [one for _, one in tags if {"src", "onclick", "style"} & one.keys()]
    assert all((one["action"] or "").startswith("/") for tag, one in tags if tag == "form")
    labels = {one["for"] for tag, one in tags if tag == "label"}
    assert {one["id"] for tag, one in tags if tag in ("input", "select")} == labels
    ids = [one["id"] for _, one in tags if "id" in one]
    assert len(ids) == len(set(ids))


@pytest.mark.platform
async def test_an_employer_sees_its_own_and_manages_its_endpoints_without_a_script(
    platform: LocalPlatform, space: str, fresh_database: str, tmp_path: Path
) -> None:
    owner = await asyncpg.connect(fresh_database)
    for plan in (PLAN, OTHER_PLAN):
        await project(owner, release_of(plan))
    await owner.close()
    app = reaching(platform, space, tmp_path, employer=EMPLOYER, practice=PRACTICE)
    async with client_of(app) as client:
        await client.post("/sign-in", data={"key": "employer"})
        first = await client.get("/me")
        assert first.status_code == 200
        assert_plain(first)
        for word in ("EmployerOutcomeReported", "ReturnToWorkTold", "There is none yet", "release 1", "Keys in force"):
            assert word in first.text, word
        assert OTHER_PLAN not in first.text and "PaymentDetermined" not in first.text
        report = await client.get("/me/reports/1")
        assert report.status_code == 200 and "Palmetto Manufacturing" in report.text
        added = await client.post("/me/endpoints", data={"url": "https://example.com/hook"})
        assert added.status_code == 201 and re.search("whsec_[A-Za-z0-9+/=]+", added.text)
        assert_plain(added)
        endpoint = re.search(r"/me/endpoints/([0-9a-f-]{36})/pause", added.text)
        assert endpoint is not None
        for act in ("pause", "resume", "replay"):
            done = await client.post(f"/me/endpoints/{endpoint[1]}/{act}", data={"since": "2026-01-01"})
            assert (done.status_code, done.headers["location"]) == (303, f"/me?done={act}")
            shown = await client.get(done.headers["location"])
            assert "example.com" in shown.text and "whsec_" not in shown.text
        renewed = await client.post(f"/me/endpoints/{endpoint[1]}/rotate")
        assert renewed.status_code == 200 and re.search("whsec_[A-Za-z0-9+/=]+", renewed.text)
        gone = await client.post(f"/me/endpoints/{endpoint[1]}/delete")
        assert gone.status_code == 303 and "example.com" not in (await client.get("/me")).text
        some = {"url": "https://example.com/some", "only-EmployerOutcomeReported": "on", "only-PaymentDetermined": "on"}
        chosen = await client.post("/me/endpoints", data=some)
        assert "Active. carepact.EmployerOutcomeReported.v1." in chosen.text
        refused = await client.post("/me/endpoints", data={"url": "http://127.0.0.1/"})
        assert refused.status_code == 422
    async with client_of(app) as client:
        await client.post("/sign-in", data={"key": "practice"})
        page = await client.get("/me")
        assert_plain(page)
        assert "PaymentDetermined" in page.text and "example.com" not in page.text and "release 1" not in page.text
        assert (await client.get("/me/reports/1")).status_code == 403
        statement = await client.get("/me/statement?month=2026-01&format=csv")
        assert statement.status_code == 200 and statement.text.startswith("id,type,")
        await client.post("/me/sign-out")
        assert (await client.get("/me")).status_code == 401

"""Tokens of trusted issuers: the right key, algorithm, issuer, audience and time, and a caller the file names."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey
from pydantic import ValidationError

from gateway import oidc
from gateway.oidc import Issuers, Tokens
from gateway.principals import scopes_of
from gateway.problems import Problem

ISSUER = "https://login.example/"
CALLERS = """
[[issuers.callers]]
claims = { azp = "clearinghouse" }
role = "payer"
payer = "medicare"

[[issuers.callers]]
claims = { azp = "hr", groups = "benefits" }
role = "payer"
payer = "employers"
plan = "lowcountry-retail"
scopes = ["files:write"]
"""


def file_of(folder: Path, keys: str, callers: str = CALLERS, algorithms: str = '["ES256"]') -> Path:
    """The operator's file."""
    file = folder / "oidc.toml"
    head = f'[[issuers]]\nissuer = "{ISSUER}"\naudience = "carepact"\nalgorithms = {algorithms}\nkeys = "{keys}"\n'
    file.write_text(head + callers)
    return file


class Login:
    """An issuer with a key, whose public half lies in a file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.jwks = folder / "jwks.json"
        self.renew("first")
        self.tokens = Tokens(Issuers.load(file_of(folder, str(self.jwks))))

    def renew(self, kid: str) -> None:
        self.key = ECKey.generate_key("P-256", {"kid": kid, "alg": "ES256", "use": "sig"})
        self.jwks.write_text(json.dumps({"keys": [self.key.as_dict(private=False)]}))

    def token(self, key: Any = None, header: dict[str, Any] | None = None, **changed: Any) -> str:
        now = int(time.time())
        claims = {"iss": ISSUER, "aud": "carepact", "exp": now + 300, "iat": now, "azp": "clearinghouse"} | changed
        shown = {"alg": "ES256", "kid": self.key.kid} | (header or {})
        return jwt.encode(shown, {k: v for k, v in claims.items() if v is not None}, key or self.key, [shown["alg"]])


@pytest.fixture
def login(tmp_path: Path) -> Login:
    return Login(tmp_path)


async def test_a_token_is_who_the_file_says(login: Login) -> None:
    found = await login.tokens.holder(login.token())
    assert found is not None
    assert (str(found), found.scopes) == ("payer:medicare", scopes_of("payer"))
    found = await login.tokens.holder(login.token(azp="hr", groups=["a", "benefits"], aud=["x", "carepact"]))
    assert found is not None
    assert (str(found), found.scopes) == ("payer:employers/lowcountry-retail", frozenset({"files:write"}))


@pytest.mark.parametrize(
    "changed",
    [
        {"iss": "https://other.example/"},
        {"aud": "another"},
        {"aud": None},
        {"exp": int(time.time()) - 3_600},
        {"exp": None},
        {"nbf": int(time.time()) + 3_600},
    ],
)
async def test_another_issuer_audience_or_time_is_nobody(login: Login, changed: dict[str, Any]) -> None:
    assert await login.tokens.holder(login.token(**changed)) is None


async def test_another_key_or_algorithm_is_nobody(login: Login) -> None:
    stranger = ECKey.generate_key("P-256", {"kid": "first"})
    assert await login.tokens.holder(login.token(stranger)) is None
    shared = OctKey.import_key(json.dumps(login.key.as_dict(private=False)).encode())
    assert await login.tokens.holder(login.token(shared, {"alg": "HS256"})) is None
    header, payload, _ = login.token().split(".")
    none = jwt.encode({"alg": "ES256"}, {"iss": ISSUER}, login.key).split(".")[0]
    assert none
    for token in (
        f"eyJhbGciOiJub25lIn0.{payload}.",
        f"{header}.{payload}.",
        "a.b.c",
        "a.e30.c",
        "x" * 9_000,
        "e30.W10.c",
    ):
        assert await login.tokens.holder(token) is None


async def test_a_new_key_of_the_issuer_is_fetched_when_a_token_has_it(
    login: Login, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await login.tokens.holder(login.token())
    login.renew("second")
    assert await login.tokens.holder(login.token()) is None  # asked for a moment ago
    monkeypatch.setattr(oidc, "KEYS_AGAIN_SECONDS", 0.0)
    assert await login.tokens.holder(login.token())


async def test_claims_that_no_caller_has_are_refused_by_name(login: Login) -> None:
    with pytest.raises(Problem) as refused:
        await login.tokens.holder(login.token(azp="somebody"))
    assert refused.value.status == 403


async def test_keys_that_cannot_be_read_are_said_to_be_away(login: Login) -> None:
    login.jwks.write_text("no json")
    with pytest.raises(Problem) as refused:
        await login.tokens.holder(login.token())
    assert (refused.value.status, refused.value.code) == (503, "away")
    KeySet.import_key_set({"keys": [login.key.as_dict(private=False)]})


@pytest.mark.parametrize(
    ("callers", "algorithms", "why"),
    [
        (CALLERS, '["HS256"]', "HS256 is not taken"),
        (CALLERS, '["none"]', "none is not taken"),
        (CALLERS, "[]", "algorithms"),
        ('[[issuers.callers]]\nclaims = {}\nrole = "operator"\n', '["ES256"]', "everybody"),
        ('[[issuers.callers]]\nclaims = { a = "b" }\nrole = "payer"\n', '["ES256"]', "needs a payer"),
        (
            '[[issuers.callers]]\nclaims = { a = "b" }\nrole = "auditor"\nscopes = ["events:write"]\n',
            '["ES256"]',
            "not for",
        ),
        (
            '[[issuers.callers]]\nclaims = { a = "b" }\nrole = "practice"\npayer = "x"\n',
            '["ES256"]',
            "names a practice",
        ),
    ],
)
def test_a_file_that_would_let_in_too_many_is_refused(tmp_path: Path, callers: str, algorithms: str, why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        Issuers.load(file_of(tmp_path, "jwks.json", callers, algorithms))


def test_keys_are_not_fetched_in_the_clear(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="https"):
        Issuers.load(file_of(tmp_path, "http://login.example/jwks.json"))

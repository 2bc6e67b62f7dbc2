"""Bearer tokens of OpenID Connect issuers that the operator trusts, by a TOML file:

    [[issuers]]
    issuer = "https://login.example/"
    audience = "carepact"
    algorithms = ["ES256"]
    keys = "https://login.example/jwks.json"     # or the path of a file

        [[issuers.callers]]
        claims = { azp = "clearinghouse" }       # all of them; the first caller that fits is who it is
        role = "payer"
        payer = "medicare"

What a token may do is written here and nowhere else: a claim of the token can pick a caller, never make one.
"""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import tomllib
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import structlog
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from pydantic import BaseModel, ConfigDict, Field, model_validator

from gateway.principals import AUDITOR, OPERATOR, PRACTICE, SCOPES, Principal, scopes_of
from gateway.problems import Problem, away

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Signatures by a key that is not shared; `none` and HMAC are never taken."""

TOKEN_BYTES_MAX = 8_192
LEEWAY_SECONDS = 30
KEYS_SECONDS = 600.0
KEYS_AGAIN_SECONDS = 30.0
FETCH_SECONDS = 5
FETCH_BYTES_MAX = 1_000_000

log = structlog.get_logger(__name__)


class Closed(BaseModel):
    """A table of the file that has no other fields than these."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Caller(Closed):
    """Who a token is of, by its claims."""

    claims: dict[str, str]
    role: Literal["payer", "employer", "practice", "operator", "auditor"]
    payer: str = ""
    plan: str = ""
    practice: str = ""
    name: str = ""
    scopes: tuple[str, ...] | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if not self.claims:
            raise ValueError("a caller without claims would be everybody")
        if not self.payer and self.role not in (OPERATOR, AUDITOR):
            raise ValueError(f"the role {self.role} needs a payer")
        if bool(self.practice) != (self.role == PRACTICE):
            raise ValueError("the role practice, and no other, names a practice")
        if beyond := set(self.scopes or ()) - scopes_of(self.role):
            raise ValueError(f"not for the role {self.role}: {', '.join(sorted(beyond))} of {', '.join(SCOPES)}")
        return self

    def principal(self) -> Principal:
        """The caller as routes know it."""
        scopes = scopes_of(self.role) if self.scopes is None else frozenset(self.scopes)
        return Principal(self.role, self.payer, self.plan, self.practice, self.name, scopes)


class Issuer(Closed):
    """Whose tokens are taken, for whom, and how they are signed."""

    issuer: str
    audience: str
    algorithms: Annotated[tuple[str, ...], Field(min_length=1)]
    keys: str
    callers: Annotated[tuple[Caller, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _safe(self) -> Self:
        if wrong := set(self.algorithms) - set(ALGORITHMS):
            raise ValueError(f"{', '.join(sorted(wrong))} is not taken; there are {', '.join(ALGORITHMS)}")
        if self.keys.startswith("http:"):
            raise ValueError("keys are fetched by https, or read from a file")
        return self


class Issuers(Closed):
    """The file as a whole."""

    issuers: tuple[Issuer, ...] = ()

    @classmethod
    def load(cls, file: Path) -> Issuers:
        """Read it; `ValueError` says what is wrong with it."""
        return cls.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))


class Tokens:
    """Checks tokens; keys of issuers are fetched when needed, and again when a token names one not seen."""

    def __init__(self, issuers: Issuers) -> None:
        self._issuers = {each.issuer: each for each in issuers.issuers}
        self._keys: dict[str, tuple[float, KeySet]] = {}
        self._fetching = asyncio.Lock()

    async def holder(self, token: str) -> Principal | None:
        """Whose token this is; None when it is not valid here. `Problem` 403 when no caller of the file fits it."""
        issuer = self._issuers.get(str(_unverified(token).get("iss")))
        if issuer is None:
            return None
        claims = await self._claims(issuer, token)
        if claims is None:
            return None
        for caller in issuer.callers:
            if all(_says(claims, name, value) for name, value in caller.claims.items()):
                return caller.principal()
        raise Problem(403, "forbidden", "the token is valid, and no caller of this gateway has its claims")

    async def _claims(self, issuer: Issuer, token: str) -> Mapping[str, Any] | None:
        for fresh in (False, True):
            keys = await self._keys_of(issuer, fresh)
            try:
                claims = jwt.decode(token, keys, algorithms=issuer.algorithms).claims
                jwt.JWTClaimsRegistry(
                    leeway=LEEWAY_SECONDS,
                    iss={"essential": True, "value": issuer.issuer},
                    aud={"essential": True, "value": issuer.audience},
                    exp={"essential": True},
                ).validate(claims)
            except (JoseError, ValueError, TypeError, KeyError) as error:
                if not fresh and _is_of_another_key(error):
                    continue
                return None
            return dict(claims)
        return None

    async def _keys_of(self, issuer: Issuer, fresh: bool) -> KeySet:
        """Its keys, at most some minutes old; `fresh` asks for newer ones, which is done now and then only."""
        clock = asyncio.get_running_loop().time
        async with self._fetching:
            at, keys = self._keys.get(issuer.issuer, (-KEYS_SECONDS, None))
            if keys is not None and clock() - at < (KEYS_AGAIN_SECONDS if fresh else KEYS_SECONDS):
                return keys
            try:
                found = KeySet.import_key_set(json.loads(await asyncio.to_thread(_read, issuer.keys)))
            except (OSError, ValueError, TypeError, KeyError, JoseError) as error:
                log.warning("issuer_keys_not_read", issuer=issuer.issuer, error=type(error).__name__)
                if keys is None:
                    raise away("the token's issuer") from None
                return keys
            self._keys[issuer.issuer] = clock(), found
            return found


def _is_of_another_key(error: Exception) -> bool:
    return type(error).__name__ in {"InvalidKeyIdError", "BadSignatureError", "MissingKeyError", "ValueError"}


def _says(claims: Mapping[str, Any], name: str, value: str) -> bool:
    said = claims.get(name)
    return value in said if isinstance(said, list) else said == value


def _unverified(token: str) -> Mapping[str, Any]:
    """The claims of a token before anything is known of it, to find its issuer by."""
    parts = token.split(".")
    if len(token) > TOKEN_BYTES_MAX or len(parts) != 3:
        return {}
    try:
        found = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _read(place: str) -> bytes:
    """The document of an issuer's keys."""
    if not place.startswith("https:"):
        return Path(place).read_bytes()
    asked = urllib.request.Request(place, headers={"Accept": "application/json"})  # noqa: S310 - https only
    with urllib.request.urlopen(asked, timeout=FETCH_SECONDS, context=ssl.create_default_context()) as answer:  # noqa: S310
        content: bytes = answer.read(FETCH_BYTES_MAX)
    return content

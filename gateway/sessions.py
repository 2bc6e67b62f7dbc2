"""Signing in by a browser: the key is sealed in a cookie, for some hours, that scripts and other sites cannot use.

The key is asked for anew with every request, so that one revoked opens nothing any more. A form is taken only from a
page of ours: the cookie is `SameSite=Strict`, and a browser that says where a request comes from is believed.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import os
import time
from typing import Annotated
from urllib.parse import parse_qs

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from fastapi import Depends, Request, Response
from fastapi.security import HTTPAuthorizationCredentials

from gateway.limits import chunks_of
from gateway.parts import Parts
from gateway.principals import BEARER, Needs, Principal
from gateway.problems import Problem

PURPOSE = "browser sessions"
COOKIE, PLACE, SIGN_IN = "carepact_session", "/me", "/sign-in"
SECONDS = 8 * 3600
FORM_BYTES = 8_000
TOKEN_MAX = 2_500
_NONCE_BYTES, _TIME_BYTES = 12, 8


def sealed(key: bytes, token: str, now: float) -> str:
    """A cookie that holds a credential until a time."""
    nonce = os.urandom(_NONCE_BYTES)
    plain = int(now + SECONDS).to_bytes(_TIME_BYTES, "big") + token.encode()
    return base64.urlsafe_b64encode(nonce + AESGCM(key).encrypt(nonce, plain, PURPOSE.encode())).decode()


def opened(key: bytes, cookie: str, now: float) -> str | None:
    """The credential of a cookie; None where it is none of ours, or too old."""
    try:
        held = base64.b64decode(cookie, altchars=b"-_", validate=True)
        plain = AESGCM(key).decrypt(held[:_NONCE_BYTES], held[_NONCE_BYTES:], PURPOSE.encode())
    except (binascii.Error, InvalidTag, ValueError):
        return None
    return plain[_TIME_BYTES:].decode() if int.from_bytes(plain[:_TIME_BYTES], "big") > now else None


async def session_key(parts: Parts) -> bytes:
    """What cookies are sealed under."""
    return await asyncio.to_thread(lambda: parts.doors.keys().platform_key(PURPOSE))


class PageNeeds(Needs):
    """The rule of a page: as `Needs`, of a browser that has signed in too. One that has not is led to do so."""

    async def __call__(
        self, request: Request, sent: Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)]
    ) -> Principal:
        """See `Needs`."""
        cookie = request.cookies.get(COOKIE)
        if sent is None and cookie:
            if request.method != "GET" and request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
                raise Problem(403, "forbidden", "a form of another site is not taken")
            token = opened(await session_key(request.app.state.parts), cookie, time.time())
            sent = HTTPAuthorizationCredentials(scheme="Bearer", credentials=token) if token else None
        try:
            return await super().__call__(request, sent)
        except Problem as problem:
            if problem.status == 401 and "text/html" in request.headers.get("accept", ""):
                raise Problem(303, "unauthenticated", "sign in", headers={"Location": SIGN_IN}) from None
            raise


def signed_in(cookie: str, request: Request, to: str) -> Response:
    """Lead a browser on with its cookie."""
    response = Response(status_code=303, headers={"Location": to})
    secure = request.url.scheme == "https"
    response.set_cookie(COOKIE, cookie, SECONDS, path=PLACE, secure=secure, httponly=True, samesite="strict")
    return response


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a form; small ones."""
    raw = b"".join([chunk async for chunk in chunks_of(request, FORM_BYTES)])
    try:
        fields = parse_qs(raw.decode("ascii"), keep_blank_values=True, max_num_fields=20, errors="strict")
    except ValueError:
        raise Problem(422, "bad_request", "the form cannot be read") from None
    return {name: values[-1].strip() for name, values in fields.items()}

"""A form's mapping and file come out as they were sent, however they are cut; what is no such form is a problem."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from formats.mapping_file import MOST_BYTES, Mapping
from gateway.forms import file_with_mapping
from gateway.problems import Problem

EXAMPLE = Path(__file__).parents[2] / "docs/examples/claims.toml"
FILE = b"CLAIM,VERSION\r\n--edge\r\nA,1\r\n\x00\xff--"


def form(*parts: tuple[str, bytes]) -> tuple[bytes, str]:
    """A form, as a client writes it: its bytes and its media type."""
    sent = httpx.Request("POST", "http://x", files=[(name, (name, content)) for name, content in parts])
    return sent.read(), sent.headers["content-type"]


async def pieces(body: bytes, cuts: Sequence[int]) -> AsyncIterator[bytes]:
    ends = [*sorted(cut % (len(body) + 1) for cut in cuts), len(body)]
    for start, end in zip([0, *ends], ends, strict=False):
        yield body[start:end]


async def taken(body: bytes, media_type: str, cuts: Sequence[int] = ()) -> tuple[Mapping, bytes]:
    by, file = await file_with_mapping(pieces(body, cuts), media_type)
    return by, b"".join([piece async for piece in file])


@given(file=st.binary(max_size=300) | st.just(FILE), cuts=st.lists(st.integers(0, 10_000), max_size=8))
async def test_a_form_is_read_however_it_is_cut(file: bytes, cuts: list[int]) -> None:
    body, media_type = form(("mapping", EXAMPLE.read_bytes()), ("file", file))
    assert await taken(body, media_type, cuts) == (Mapping.read(EXAMPLE), file)


MAPPING = ("mapping", EXAMPLE.read_bytes())


@pytest.mark.parametrize(
    ("parts", "status", "code"),
    [
        ((("file", FILE), MAPPING), 422, "bad_request"),
        ((MAPPING,), 422, "bad_request"),
        ((MAPPING, ("file", FILE), ("file", FILE)), 422, "bad_request"),
        ((MAPPING, ("more", FILE)), 422, "bad_request"),
        ((("mapping", b"x" * (MOST_BYTES + 1)), ("file", FILE)), 422, "bad_mapping"),
        ((("mapping", b"name: yaml"), ("file", FILE)), 422, "bad_mapping"),
        ((("mapping", b'{"a":' * 5_000), ("file", FILE)), 422, "bad_mapping"),
        ((("mapping", b"\xff"), ("file", FILE)), 422, "bad_mapping"),
        ((("mapping", MAPPING[1].replace(b"claim_id ", b"claim_ID ")), ("file", FILE)), 422, "bad_mapping"),
    ],
)
async def test_what_is_no_such_form_is_a_problem(parts: tuple[tuple[str, bytes], ...], status: int, code: str) -> None:
    with pytest.raises(Problem) as refused:
        await taken(*form(*parts))
    assert (refused.value.status, refused.value.code) == (status, code)


@pytest.mark.parametrize("cut", [10, 400, -4, -30])
async def test_a_form_that_breaks_off_is_a_problem(cut: int) -> None:
    body, media_type = form(MAPPING, ("file", FILE))
    with pytest.raises(Problem, match="breaks off"):
        await taken(body[:cut], media_type)


@pytest.mark.parametrize(
    "media_type", ["multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=\x00"]
)
async def test_a_form_needs_a_boundary(media_type: str) -> None:
    with pytest.raises(Problem, match="boundary"):
        await taken(b"", media_type)


async def test_headers_of_a_part_are_bounded() -> None:
    body = b"--b\r\nContent-Disposition: form-data; name=mapping; x=" + b"y" * 9_000
    with pytest.raises(Problem):
        await taken(body, "multipart/form-data; boundary=b")

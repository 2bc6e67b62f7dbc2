"""A file and its mapping in one request: multipart/form-data of two parts, `mapping` and then `file`.

The mapping is small and held; the file is passed on as it comes. A mapping is TOML or JSON here: YAML can say much
in few bytes, and is not read from outside.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import AsyncIterator
from typing import Any

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from formats.mapping_file import MOST_BYTES, BadMapping, Mapping
from gateway.problems import Problem

MEDIA_TYPE = "multipart/form-data"
_HEADER_BYTES = 8_192
_BOUNDARY = re.compile(rb"[0-9A-Za-z'()+_,./:=? -]{1,70}")

Piece = tuple[str, bytes]
"""A part's name, and some of its bytes; none where the part ends."""


async def file_with_mapping(chunks: AsyncIterator[bytes], content_type: str) -> tuple[Mapping, AsyncIterator[bytes]]:
    """The mapping, and the file's bytes as they come. `Problem` 400 and 422 say what is wrong with the form."""
    pieces = _pieces(chunks, content_type)
    sent = bytearray()
    async for name, piece in pieces:
        if name != "mapping":
            raise Problem(422, "bad_request", "send the part `mapping` first, then the part `file`")
        sent += piece
        if len(sent) > MOST_BYTES:
            raise Problem(422, "bad_mapping", f"more than {MOST_BYTES} bytes is no mapping")
        if not piece:
            return _mapping(bytes(sent)), _file(pieces)
    raise Problem(422, "bad_request", "the form has no part `mapping`")


async def _file(pieces: AsyncIterator[Piece]) -> AsyncIterator[bytes]:
    ended = False
    async for name, piece in pieces:
        if name != "file" or ended:
            raise Problem(422, "bad_request", "behind the part `mapping` stands one part, `file`")
        ended = not piece
        if piece:
            yield piece
    if not ended:
        raise Problem(422, "bad_request", "the form has no part `file`")


def _mapping(sent: bytes) -> Mapping:
    try:
        text = sent.decode()
        values: Any = json.loads(text) if text.lstrip().startswith("{") else tomllib.loads(text)
        return Mapping.load(values, "mapping")
    except BadMapping as refused:
        raise Problem(422, "bad_mapping", str(refused)) from None
    except (ValueError, RecursionError):
        raise Problem(422, "bad_mapping", "the mapping is neither TOML nor JSON in UTF-8") from None


async def _pieces(chunks: AsyncIterator[bytes], content_type: str) -> AsyncIterator[Piece]:
    form = _Form(content_type)
    async for chunk in chunks:
        for piece in form.feed(chunk):
            yield piece
    if not form.is_whole:
        raise Problem(400, "bad_request", "the form breaks off")


class _Form:
    """The parts of a form, as its bytes come."""

    def __init__(self, content_type: str) -> None:
        boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
        if not _BOUNDARY.fullmatch(boundary):
            raise Problem(400, "bad_request", "multipart/form-data without a boundary")
        self.is_whole = False
        self._name, self._found = "", list[Piece]()
        self._field, self._value, self._size = b"", b"", 0
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._in_field,
                "on_header_value": self._in_value,
                "on_header_end": self._header,
                "on_part_data": self._data,
                "on_part_end": self._end,
                "on_end": self._whole,
            },
        )

    def feed(self, chunk: bytes) -> list[Piece]:
        """What this chunk adds."""
        self._found = []
        try:
            self._parser.write(chunk)
        except MultipartParseError:
            raise Problem(400, "bad_request", "the form cannot be read") from None
        return self._found

    def _begin(self) -> None:
        self._name, self._size = "", 0

    def _in_field(self, data: bytes, start: int, end: int) -> None:
        self._field += self._measured(data, start, end)

    def _in_value(self, data: bytes, start: int, end: int) -> None:
        self._value += self._measured(data, start, end)

    def _measured(self, data: bytes, start: int, end: int) -> bytes:
        self._size += end - start
        if self._size > _HEADER_BYTES:
            raise Problem(400, "bad_request", f"a part with more than {_HEADER_BYTES} bytes of headers")
        return data[start:end]

    def _header(self) -> None:
        if self._field.lower() == b"content-disposition":
            self._name = parse_options_header(self._value)[1].get(b"name", b"").decode("utf-8", "replace")
        self._field = self._value = b""

    def _data(self, data: bytes, start: int, end: int) -> None:
        if end > start:
            self._found.append((self._name, data[start:end]))

    def _end(self) -> None:
        self._found.append((self._name, b""))

    def _whole(self) -> None:
        self.is_whole = True

"""Telling a file by its content, which comes before each reader: any bytes are of a format, or are refused by name."""

from __future__ import annotations

import io

from formats.detect import READERS, UnknownFormat, detect, lines_of


def is_told(sent: bytes) -> None:
    """Raises where a file of these bytes is neither of a format nor refused."""
    if lines := list(lines_of(io.BytesIO(sent))):
        try:
            assert detect(lines[:50], "f") in READERS
        except UnknownFormat:
            return

"""Acknowledgements of X12: what is heard while a file is read, and the TA1, 999 and 277CA that come of it.

    heard = Heard()
    items = list(x12.read(chunks, "claims.837", heard=heard))      # or while publishing
    heard.refused(place.line, "unknown_plan")                      # what the door refuses of what was read
    for kind, text in heard.answers(made_at, control):             # "ta1", "999", "277ca", and bytes to append
        ...

Or, for a file at hand, `acknowledge(chunks, name, made_at, control)`. Both are pure: the same file, instant and number
give the same bytes. Each interchange is answered by an interchange of each kind, none of a kind that has nothing to
say. A group of acknowledgements is not acknowledged. An interchange whose ISA cannot be read has no answer: nobody is
known to send it to; its reject says so.

An interchange is accepted (TA1 A) with errors (E) where its counts are wrong or its control number came before, and
refused (R) where it breaks off: what was whole in it has been taken all the same, and is a duplicate when it is sent
again. What was heard waits in a file without a name, so memory is bounded by one transaction set.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from itertools import chain
from tempfile import SpooledTemporaryFile
from typing import Any, Literal

import msgspec

from formats import x12
from formats.reading import Read, Reader, Reject
from formats.x12 import Validate
from formats.x12_answers import (
    ACKNOWLEDGED,
    CLAIMS_ACKNOWLEDGED,
    QUALIFIERS,
    AnsweredClaim,
    AnsweredSet,
    Answering,
    Wrong,
    answerable,
    claims,
    enveloped,
    functional,
    refused_at,
    status_of,
    ta1,
)
from formats.x12_set import Elements, Finding, ToldClaim

Kind = Literal["ta1", "999", "277ca"]
KINDS: tuple[Kind, ...] = ("ta1", "999", "277ca")
_HELD = 4_000_000
_SIZE = 4
_ANSWERS = frozenset(("FA",))
"""GS01 of acknowledgements."""


def acknowledge(
    chunks: Iterable[bytes], file: str, made_at: datetime, control: int, *, validate: Validate = "syntax"
) -> dict[Kind, bytes]:
    """The answers to a file, by their kind; a kind that has nothing to say is not there."""
    heard = Heard()
    for _ in x12.read(chunks, file, validate=validate, heard=heard):
        pass
    found: dict[Kind, list[bytes]] = {}
    for kind, text in heard.answers(made_at, control):
        found.setdefault(kind, []).append(text)
    return {kind: b"".join(texts) for kind, texts in found.items()}


class Hearing:
    """Listens while files of any number are read by `formats.detect.read_files(..., readers=hearing.readers)`."""

    def __init__(self, validate: Validate) -> None:
        self._validate = validate
        self._heard: list[tuple[str, Heard]] = []

    @property
    def readers(self) -> dict[str, Reader]:
        """X12 as it is asked for."""
        return {"x12": self._read}

    def _read(self, chunks: Iterable[bytes], file: str) -> Iterator[Read]:
        heard = Heard()
        self._heard.append((file, heard))
        return x12.read(chunks, file, validate=self._validate, heard=heard)

    def refused(self, reject: Reject) -> None:
        """The door refuses what was read: of files of one name it is the last."""
        for file, heard in reversed(self._heard):
            if file == reject.place.file:
                heard.refused(reject.place.line, reject.code, reject.place.field)
                return

    def answers(self, made_at: datetime) -> Iterator[tuple[int, str, Kind, bytes]]:
        """All answers, piece by piece: of which file, by its place among them and its name. Numbered by the instant."""
        control = int(made_at.timestamp()) % 10**9
        for place, (file, heard) in enumerate(self._heard):
            for kind, text in heard.answers(made_at, control):
                control += text.startswith(b"ISA*")
                yield place, file, kind, text


class Heard:
    """A listener of the reader (`x12_set.Listener`) that answers when all is read."""

    def __init__(self) -> None:
        self._file = SpooledTemporaryFile(max_size=_HELD)  # noqa: SIM115 - it is gone with this object
        self._refused: dict[int, tuple[str, str]] = {}
        self._line = 0

    def refused(self, line: int, code: str, field: str = "") -> None:
        """The door refuses what was read of the claim at `line`."""
        self._refused[line] = code, field

    def interchange(self, isa: Elements) -> None:
        """See `Listener`."""
        self._put("interchange", isa)

    def group(self, gs: Elements) -> None:
        """See `Listener`."""
        self._put("group", gs)

    def opened(self, st: Elements, line: int) -> None:
        """See `Listener`."""
        self._line = line
        self._put("opened", st)

    def named(self, reference: str, submitter: tuple[str, str, str], receiver: tuple[str, str]) -> None:
        """See `Listener`."""
        self._put("named", reference, submitter, receiver)

    def claim(self, told: ToldClaim) -> None:
        """See `Listener`."""
        status = status_of(told.reject.code, told.reject.place.field) if told.reject else ""
        self._put(
            "claim", told.first, told.account, told.charge, told.start, told.through, told.patient, told.provider,
            told.trace, told.bill, status,
        )  # fmt: skip

    def found(self, findings: Mapping[int, tuple[Finding, ...]]) -> None:
        """See `Listener`."""
        wrong = [(at - self._line + 1, *each) for at, found in findings.items() for each in found]
        if wrong:
            self._put("found", wrong)

    def rejected(self, reject: Reject) -> None:
        """See `Listener`."""
        if reject.place.field:
            self._put("rejected", reject.code, reject.place.field, max(reject.place.line - self._line + 1, 1))

    def closed(self, code: str, taken: int) -> None:
        """See `Listener`."""
        self._put("closed", code, taken)

    def group_ends(self, sets: str, code: str) -> None:
        """See `Listener`."""
        self._put("group_ends", sets, code)

    def interchange_ends(self, code: str) -> None:
        """See `Listener`."""
        self._put("interchange_ends", code)

    def answers(self, made_at: datetime, control: int) -> Iterator[tuple[Kind, bytes]]:
        """The answers, piece by piece, those of a kind in order. Interchanges are numbered from `control` on."""
        seen: set[str] = set()
        for kind in KINDS:
            seen.clear()
            for isa, told in _interchanges(self._told()):
                made = self._answer(kind, isa, told, Answering(made_at, control), seen)
                first = next(made, None)
                if first is not None:
                    control += 1
                    yield kind, first
                    for text in made:
                        yield kind, text

    def _answer(
        self, kind: Kind, isa: Elements, told: Iterator[list[Any]], answering: Answering, seen: set[str]
    ) -> Iterator[bytes]:
        if kind == "ta1":
            yield from enveloped(isa, answering, None, [ta1(isa, _note(isa, told, seen))])
            return
        make = _functional if kind == "999" else self._claims
        guide = ("FA", ACKNOWLEDGED) if kind == "999" else ("HN", CLAIMS_ACKNOWLEDGED)
        group, body = _begun(make(told, answering))
        if group is not None:
            yield from enveloped(isa, answering, (*guide, group), body)

    def _claims(self, told: Iterator[list[Any]], answering: Answering) -> Iterator[tuple[Elements, bytes]]:
        """277CA of each set of claims that was not refused as a whole."""
        gs: Elements = []
        named: tuple[Any, ...] = ("", ("2", "", ""), ("", ""))
        found: list[AnsweredClaim] = []
        number = 0
        for what, *rest in told:
            match what:
                case "group":
                    gs = rest[0]
                case "opened":
                    found, named = [], ("", ("2", "", ""), ("", ""))
                case "named":
                    named = tuple(rest)
                case "claim":
                    found.append(self._answered(rest))
                case "closed" if found and not rest[0]:
                    number += 1
                    for text in claims(named[0], tuple(named[1]), tuple(named[2]), found, answering, number):
                        yield gs, text

    def _answered(self, rest: list[Any]) -> AnsweredClaim:
        line, account, charge, start, through, patient, provider, trace, bill, status = rest
        if not status and line in self._refused:
            status = status_of(*self._refused[line])
        return AnsweredClaim(account, charge, start, through, tuple(patient), tuple(provider), trace, bill, status)

    def _put(self, *told: Any) -> None:
        try:
            packed = msgspec.msgpack.encode(told)
        except UnicodeEncodeError:
            packed = msgspec.msgpack.encode(_as_text(told))
        self._file.write(len(packed).to_bytes(_SIZE) + packed)

    def _told(self) -> Iterator[list[Any]]:
        at = 0
        while True:
            self._file.seek(at)
            size = int.from_bytes(self._file.read(_SIZE))
            if not size:
                return
            yield msgspec.msgpack.decode(self._file.read(size))
            at += _SIZE + size


def _note(isa: Elements, told: Iterator[list[Any]], seen: set[str]) -> str:
    """The note of TA1: how the interchange ends, else what is wrong in ISA, else that there is a GS that is none."""
    number, groups, code = isa[13].strip(), list[Elements](), "023"
    for what, *rest in told:
        if what == "group":
            groups.append(rest[0])
        elif what == "interchange_ends":
            code = rest[0]
    notes = {
        "025": number in seen,
        "017": isa[12] != "00501",
        "005": isa[5] not in QUALIFIERS,
        "007": isa[7] not in QUALIFIERS,
        "024": any(not answerable(gs) for gs in groups if gs[1] not in _ANSWERS),
    }
    seen.add(number)
    return code or next((note for note, is_so in notes.items() if is_so), "")


def _functional(told: Iterator[list[Any]], _: Answering) -> Iterator[tuple[Elements, bytes]]:
    """999 of each group, but of those that are acknowledgements themselves."""
    gs: Elements = []
    sets: list[AnsweredSet] = []
    number = 0
    for what, *rest in told:
        match what:
            case "group":
                gs, sets = rest[0], []
            case "opened":
                sets.append(AnsweredSet(rest[0]))
            case "found":
                sets[-1].wrong += [Wrong(*each) for each in rest[0]]
            case "rejected":
                sets[-1].wrong.append(refused_at(*rest))
            case "closed":
                sets[-1].code, sets[-1].taken = rest
            case "group_ends" if answerable(gs):
                number += 1
                for text in functional(gs, sets, rest[0], rest[1], number):
                    yield gs, text


def _interchanges(told: Iterator[list[Any]]) -> Iterator[tuple[Elements, Iterator[list[Any]]]]:
    """Each interchange with what was heard in it; the next begins where the last one was read to its end."""
    for what, *rest in told:
        if what == "interchange":
            inside = _until_end(told)
            yield rest[0], inside
            for _ in inside:
                pass


def _until_end(told: Iterator[list[Any]]) -> Iterator[list[Any]]:
    for each in told:
        yield each
        if each[0] == "interchange_ends":
            return


def _begun(made: Iterator[tuple[Elements, bytes]]) -> tuple[Elements | None, Iterator[bytes]]:
    """The first group that is answered, and the answers to all."""
    first = next(made, None)
    if first is None:
        return None, iter(())
    return first[0], chain([first[1]], (text for _, text in made))


def _as_text(told: Any) -> Any:
    """The same, with a question mark for each byte that was no text."""
    if isinstance(told, str):
        return told.encode("utf-8", "replace").decode()
    return [_as_text(each) for each in told] if isinstance(told, list | tuple) else told

"""X12 005010: the envelope, in bounded memory, and which reader takes which transaction set.

Segments are cut by the separators that ISA declares. A transaction set (ST to SE) is taken or refused as a whole: SE
must close its ST with the right count and control number. What GE and IEA count wrongly is told and changes nothing.
Claims (837P, 837I, and the post-adjudicated 837 X298, X299), enrollment (834), remittances (835) and premium payments
(820) are read; other sets are refused by name.

A row is a claim (CLM), a member (INS), a claim payment (CLP), a premium (RMR), else a transaction set. Places are
segment numbers, ISA being 1. `:` is declared in many files whose composites use `>`; where all composites of a set that
tell are put together by one other separator, that one is used, it is told, and each fact of the set carries the note.

A set with bytes that are no text (not UTF-8, or control characters) is cut as it is, and only those rows are refused
that have such bytes. With `validate="full"` the implementation guide is checked too, and what it finds stands as
`findings` on the facts (formats/x12_guides.py). `heard` is told what the answers to the sender are made of
(formats/x12_acknowledge.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import replace
from typing import Any, Literal

from contracts.envelope import MAX_FACT_BYTES
from formats import x12_820, x12_834, x12_835, x12_837, x12_guides
from formats.reading import Place, Read, Reject
from formats.x12_rosters import Rosters
from formats.x12_set import SOURCE, Listener, Signs, Transaction

Validate = Literal["syntax", "full"]

MAX_TRANSACTION = 32 * 1024 * 1024
"""Bytes of one transaction set; the guides ask for at most 5,000 claims."""
_MAX_SEGMENT = 65_536
_ISA = 106
_NO_ISA = "an interchange without an ISA of 106 characters"
_BOM = b"\xef\xbb\xbf"
_BLANKS = b"\r\n\t "
_CONTROLS = "".join(map(chr, range(32))) + "\x7f"
_SEPARATOR = "027"
"""TA105: an invalid separator of components."""
_ROW = {b"837": b"CLM", b"834": b"INS", b"835": b"CLP", b"820": b"RMR"}
_NAMES = {
    "270": "eligibility inquiries", "271": "eligibility answers", "276": "claim status inquiries",
    "277": "claim status answers", "278": "service reviews", "997": "acknowledgements", "999": "acknowledgements",
    "TA1": "acknowledgements", "837D": "dental claims",
}  # fmt: skip
_GUIDES: tuple[tuple[str, re.Pattern[str], Callable[[Transaction], Iterator[Read]]], ...] = (
    ("837", re.compile(r"005010X(222|223|298|299)"), x12_837.read),
    ("834", re.compile(r"005010X220"), x12_834.read),
    ("835", re.compile(r"005010X221"), x12_835.read),
    ("820", re.compile(r"005010X(218|306)"), x12_820.read),
)
_REMEDY = "send 005010 X222, X223, X298, X299 (837), X220 (834), X221 (835) or X218 (820)"


def looks_like(start: bytes) -> bool:
    """Whether a file begins with an interchange."""
    text = start.removeprefix(_BOM).lstrip()
    return text.startswith(b"ISA") and len(text) > 3 and not text[3:4].isalnum()


def _is_isa(held: bytes) -> bool:
    """Sixteen elements of fixed width, the separator of elements where it has to be, and a sign that ends it."""
    separator, end = held[3:4], held[105:106]
    apart = held[103:104] == separator and held[:105].count(separator) == 16 and end not in held[:105]
    return looks_like(held) and apart and held[:_ISA].isascii() and not end.isalnum()


def read(
    chunks: Iterable[bytes], file: str, *, validate: Validate = "syntax", heard: Listener | None = None
) -> Iterator[Read]:
    """Facts and rejects in the order of the file."""
    return _Reader(file, validate, heard).read(chunks)


class _Reader:
    """Where we are in an interchange."""

    def __init__(self, file: str, validate: Validate, heard: Listener | None) -> None:
        self.file = file
        self.heard = heard
        self.full = validate == "full"
        self.number = 0
        self.signs: Signs | None = None
        self.isa: list[bytes] = []
        self.gs: list[bytes] = []
        self.groups = self.sets = 0
        self.parts: list[bytes] | None = None
        """Of the open transaction set, from ST on."""
        self.skipping = False
        """The open set is refused already."""
        self.stray = False
        self.size = self.started = 0
        self.rosters = Rosters()

    def read(self, chunks: Iterable[bytes]) -> Iterator[Read]:
        held, lost = b"", ""
        for chunk in chunks:
            held = yield from self._take(held + chunk)
            if self.signs is None and len(held) >= _ISA:
                lost = _NO_ISA
            elif len(held) > _MAX_SEGMENT:
                lost = "a segment that does not end"
            if lost:
                break
        else:
            if held.strip() and self.signs is not None:
                held = yield from self._take(held + self.signs.end)
            lost = _NO_ISA if held.strip() and not self.isa else ""
        yield from self._breaks_off("unreadable", "a transaction set that breaks off", "send the whole file again")
        if lost:
            yield self._lost(lost, held)
        elif self.isa:
            yield self._told("an interchange without its IEA")
        self._interchange_ends("023")

    def _take(self, held: bytes) -> Generator[Read, None, bytes]:
        """Read what is whole of `held`; the rest is the answer."""
        at = 0
        while True:
            if self.signs is None:
                held, at = held[at:].removeprefix(_BOM).lstrip(), 0
                if len(held) < _ISA or not _is_isa(held):
                    return held
                self.signs = Signs(held[105:106], held[3:4])
            if self.parts is not None:
                at = self._collect(held, at)
                if self.size > MAX_TRANSACTION and not self.skipping:
                    yield self._whole("too_large", "a transaction set that is too large", "send at most 5,000 claims")
                    self.parts, self.skipping = [], True
            ends = held.find(self.signs.end, at)
            if ends < 0:
                return held[at:]
            text = held[at:ends].strip(_BLANKS)
            if self.isa and text.startswith(b"ISA" + self.signs.element):
                yield from self._breaks_off("envelope", "a transaction set without its SE", "close each ST with an SE")
                yield self._told("an interchange without its IEA")
                self._interchange_ends("022")
                self.signs = None
                continue
            at = ends + 1
            if text:
                yield from self._segment(text, text.split(self.signs.element))

    def _collect(self, held: bytes, at: int) -> int:
        """Put what belongs to the open set aside: where the next segment begins that does not, or is not whole yet."""
        assert self.signs is not None
        assert self.parts is not None
        found = self.signs.closer(held, at)
        cut = found if found >= 0 else held.rfind(self.signs.end, at) + 1
        if cut <= at:
            return at
        if self.skipping:
            self.number += held.count(self.signs.end, at, cut)
        else:
            self.parts.append(held[at:cut])
            self.size += cut - at
        return cut

    def _segment(self, text: bytes, elements: list[bytes]) -> Iterator[Read]:
        """A segment that belongs to no transaction set, or ends one."""
        name = elements[0]
        if self.parts is not None:
            if name == b"SE":
                yield from self._close(elements)
                self.number += 1
                return
            yield from self._breaks_off("envelope", "a transaction set without its SE", "close each ST with an SE")
        self.number += 1
        self.stray, stray = False, self.stray
        match name:
            case b"ISA":
                self.isa, self.gs, self.groups = elements, [], 0
                self._hear("interchange", _decoded(elements))
            case b"GS" if self.isa and len(elements) > 8:
                self.gs, self.sets, self.groups = elements, 0, self.groups + 1
                self._hear("group", _decoded(elements))
            case b"ST" if self.gs and len(elements) > 2:
                self.parts, self.size, self.started = [text + self._end], len(text), self.number
                self.sets += 1
                self._hear("opened", _decoded(elements), self.number)
            case b"GE":
                yield from self._group_ends(elements)
            case b"IEA":
                control = self.isa[13].strip() if self.isa else b""
                code = ""
                if [e.strip() for e in elements[1:3]] != [b"%d" % self.groups, control]:
                    yield self._told("an interchange whose IEA counts or names another number of groups")
                    code = "001" if elements[2:3] != [control] else "021"
                yield from self.rosters.close(SOURCE)
                self._interchange_ends(code)
                self.signs = None
            case b"TA1":
                pass
            case _:
                self.stray = True
                if not stray:
                    yield Reject(
                        Place(self.file, self.number), "envelope", "a segment outside of a transaction set",
                        "send ISA, GS, ST in their order", text[:MAX_FACT_BYTES], 0, format=SOURCE,
                    )  # fmt: skip

    def _group_ends(self, elements: list[bytes]) -> Iterator[Read]:
        counted, control = b"%d" % self.sets, self.gs[6] if self.gs else b""
        code = ""
        if elements[1:3] != [counted, control]:
            code = "4" if elements[2:3] != [control] else "5"
            yield self._told("a group whose GE counts or names another number of sets")
        if self.gs:
            self._hear("group_ends", _decoded(elements[1:2])[0] if elements[1:] else "", code)
        self.gs = []

    def _interchange_ends(self, code: str) -> None:
        if self.gs:
            self._hear("group_ends", "", "3")
        if self.isa:
            self._hear("interchange_ends", code)
        self.isa, self.gs = [], []
        self.rosters = Rosters()

    def _close(self, se: list[bytes]) -> Iterator[Read]:
        """The open set is whole: give it to its reader, or refuse it."""
        if self.skipping:
            self.parts, self.skipping = None, False
            return
        assert self.signs is not None
        body, count = self._body()
        start = body[: body.index(self.signs.end)].split(self.signs.element)
        if se[1:3] != [b"%d" % (count + 1), start[2]]:
            reason = "a transaction set whose SE counts other segments or names another set"
            yield self._whole(
                "envelope", reason, "send SE01 and SE02 as they are", "3" if se[2:3] != [start[2]] else "4"
            )
            return
        kind, guide = start[1].decode("latin-1"), self.gs[8].decode("latin-1").strip()
        if kind == "837" and "X224" in guide:
            kind = "837D"
        make = next((each for known, pattern, each in _GUIDES if known == kind and pattern.match(guide)), None)
        if make is None:
            what = f"set {kind} ({_NAMES[kind]})" if kind in _NAMES else "set of a kind or guide"
            known = any(kind == each for each, _, _ in _GUIDES)
            yield self._whole("not_read", f"a transaction {what} that is not read", _REMEDY, "I6" if known else "1")
            return
        self.parts = None
        yield from self._made(make, kind, guide, body)

    def _made(
        self, make: Callable[[Transaction], Iterator[Read]], kind: str, guide: str, body: bytes
    ) -> Iterator[Read]:
        assert self.signs is not None
        end, separator = self._end.decode(), self.signs.element.decode()
        text = _close_up(body.decode("utf-8", "surrogateescape"), end, separator)
        declared = self.isa[16].decode()
        used = _component(text, end, separator, declared)
        unclean = _unclean(body, text, end + separator + used + self.isa[11].decode())
        around = (end, separator, separator.join(_decoded(self.isa)), separator.join(_decoded(self.gs)))
        notes = (f"ISA16:{_SEPARATOR}",) if used != declared else ()
        made = Transaction(
            kind, guide, text, self.started, used, self.file, around, self.rosters, notes, unclean, {}, self.heard
        )
        if used != declared:
            reason = f"composites that use {used!r} and not the separator ISA16 declares; read so"
            yield self._told(reason, "declare it in ISA16", "separator", self.started)
        if self.full and unclean is None:
            made = replace(made, findings=x12_guides.findings(made))
            self._hear("found", made.findings)
        taken = 0
        for item in make(made):
            if isinstance(item, Reject):
                self._hear("rejected", item)
            else:
                taken += item.rows
            yield item
        self._hear("closed", "", taken)

    @property
    def _end(self) -> bytes:
        assert self.signs is not None
        return self.signs.end

    def _hear(self, what: str, *told: Any) -> None:
        if self.heard is not None:
            getattr(self.heard, what)(*told)

    def _body(self) -> tuple[bytes, int]:
        """The open set from ST on, and how many segments it has; their numbers are given out with this."""
        assert self.signs is not None
        body = self.signs.cleaned(b"".join(self.parts or []))
        count = body.count(self.signs.end)
        self.number = self.started + count - 1
        return body, count

    def _breaks_off(self, code: str, reason: str, remedy: str) -> Iterator[Read]:
        """A set is open that should not be."""
        if self.parts is not None and not self.skipping:
            yield self._whole(code, reason, remedy, "2")
        self.parts, self.skipping = None, False

    def _whole(self, code: str, reason: str, remedy: str, answer: str = "5") -> Reject:
        """The open transaction set, refused. `answer` is the code of IK502."""
        assert self.signs is not None
        body, _ = self._body()
        self.parts = None
        kind = body[: body.find(self.signs.end)].split(self.signs.element)[1]
        rows = body.count(self.signs.end + _ROW.get(kind, b"ST") + self.signs.element)
        isa, gs = (self.signs.element.join(each) for each in (self.isa, self.gs))
        raw = self.signs.end.join([isa, gs, body])[:MAX_FACT_BYTES]
        place = Place(self.file, self.started)
        reject = Reject(place, code, reason, remedy, raw, max(rows, 1), format=SOURCE)
        self._hear("rejected", reject)
        self._hear("closed", answer, 0)
        return reject

    def _told(self, reason: str, remedy: str = "send it as it is", code: str = "envelope", at: int = 0) -> Reject:
        """Something wrong around the sets, which takes nothing from them."""
        return Reject(Place(self.file, at or self.number), code, reason, remedy, b"", 0, format=SOURCE)

    def _lost(self, reason: str, held: bytes) -> Reject:
        """What follows cannot be cut into segments."""
        remedy = "send a whole interchange, ISA to IEA"
        place = Place(self.file, self.number + 1)
        return Reject(place, "envelope", reason, remedy, held[:MAX_FACT_BYTES], format=SOURCE)


def _decoded(elements: list[bytes]) -> list[str]:
    return [each.decode("utf-8", "surrogateescape") for each in elements]


def _close_up(text: str, end: str, separator: str) -> str:
    """The text without blanks beside its separators."""
    if any(blank in text for blank in (separator + " ", " " + separator, " " + end)):
        text = re.sub(f" *({re.escape(separator)}|{re.escape(end)}) *", r"\1", text)
    return text


def _unclean(body: bytes, text: str, signs: str) -> re.Pattern[str] | None:
    """What finds bytes that are no text (control characters, and what is not UTF-8), where there are any."""
    control = "".join(c for c in _CONTROLS if c not in signs)
    if body.isascii() and len(body.translate(None, control.encode())) == len(body):
        return None
    pattern = re.compile(f"[{re.escape(control)}\ud800-\udfff]")
    return pattern if pattern.search(text) else None


def _component(text: str, end: str, separator: str, declared: str) -> str:
    """The separator of components: the declared one, unless all that tell are put together by one other."""
    end, glue = re.escape(end), re.escape(separator)
    claims = rf"{end}CLM{glue}(?:[^{glue}{end}]*{glue}){{4}}[0-9A-Z]{{1,2}}([^0-9A-Za-z {glue}{end}])[AB]\1[0-9]"
    paid = rf"{end}SVC{glue}(?:AD|ER|HC|HP|IV|N4|NU|WK)([^0-9A-Za-z {glue}{end}])"
    found = {*re.findall(claims, text), *re.findall(paid, text)}
    return found.pop() if len(found) == 1 else declared

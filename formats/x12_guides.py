"""The X12 implementation guides, by pyx12's maps: what each has against a transaction set, segment by segment.

pyx12 has one version of each guide; a set of a sibling (X222A2, X223A3, ...) is checked by that. What it throws is
caught set by set, and the set stands with the note that it was not checked. Its messages repeat what was sent, so only
segment, element and code are kept, and its log is silent.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from typing import Any

from formats.x12_set import Elements, Finding, Transaction, plain_name

MAPS = {
    ("837", "005010X222"): ("837.5010.X222.A1.xml", "005010X222A1"),
    ("837", "005010X223"): ("837Q3.I.5010.X223.A1.xml", "005010X223A2"),
    ("834", "005010X220"): ("834.5010.X220.A1.xml", "005010X220A1"),
    ("835", "005010X221"): ("835.5010.X221.A1.xml", "005010X221A1"),
    ("820", "005010X218"): ("820.5010.X218.xml", "005010X218"),
}
UNCHECKED = "unchecked"
"""In place of a code: no map for this guide, or the map could not be walked."""
_GROUP = "/ISA_LOOP/GS_LOOP"


def findings(transaction: Transaction) -> dict[int, tuple[Finding, ...]]:
    """What the guide has against a set, by the number of the segment in the file."""
    known = MAPS.get((transaction.kind, transaction.guide[:10]))
    if known is None:
        return {transaction.started: (Finding("GS", 8, 0, UNCHECKED),)}
    found: dict[int, list[Finding]] = defaultdict(list)
    try:
        for number, finding in _walked(transaction, *known):
            if finding not in found[number]:
                found[number].append(finding)
    except Exception:
        found[transaction.started].append(Finding("ST", 0, 0, UNCHECKED))
    return {number: tuple(each) for number, each in found.items() if each}


@cache
def _map(file: str) -> Any:
    import pyx12.map_if  # noqa: PLC0415 - some tenths of a second that reading alone does not need
    import pyx12.params  # noqa: PLC0415

    logging.getLogger("pyx12").disabled = True
    for name in ("map_if", "walk_tree", "error_handler", "segment", "x12file"):
        logging.getLogger(f"pyx12.{name}").disabled = True
    return pyx12.map_if.load_map_file(file, pyx12.params.ParamsUnix())


def _walked(transaction: Transaction, file: str, version: str) -> Iterator[tuple[int, Finding]]:
    from pyx12.map_walker import walk_tree  # noqa: PLC0415
    from pyx12.segment import Segment  # noqa: PLC0415

    root, walker = _map(file), walk_tree()
    walker.forceWalkCounterToLoopStart("/ISA_LOOP", "/ISA_LOOP/ISA")
    walker.forceWalkCounterToLoopStart(_GROUP, f"{_GROUP}/GS")
    node = root.getnodebypath(f"{_GROUP}/GS")
    end, separator, isa, _ = transaction.around
    repetition = isa.split(separator)[11]
    counted = _Counted(transaction.kind)
    for number, text in _texts(transaction, version):
        segment = Segment(text, end, separator, transaction.component, repetition)
        next_node, _, _, errors = walker.walk_errors(node, segment, number, number, None)
        name = segment.get_seg_id() or ""
        for error in errors:
            missing = error.map_node.id if error.map_node is not None and error.err_cde == "3" else name
            yield number, Finding(plain_name(missing), 0, 0, _code(error.err_cde))
        if next_node is None:
            continue
        node = next_node
        _, wrong = node.is_valid_errors(segment)
        for error in wrong:
            element, component = _position(error.refdes or "")
            yield number, Finding(plain_name(name), element, component, _code(error.err_cde))
        for element in counted.wrong(text.split(separator)):
            yield number, Finding(name, element, 0, "7")


def _texts(transaction: Transaction, version: str) -> Iterator[tuple[int, str]]:
    """The segments of the set as pyx12 knows its guide, ST and SE with them."""
    start, separator = transaction.start, transaction.around[1]
    yield transaction.started, separator.join([*start[:3], *([version] if len(start) > 3 else [])])
    number = transaction.started
    for first, texts in transaction.blocks():
        yield from enumerate(texts, first)
        number = first + len(texts) - 1
    yield number + 1, separator.join(("SE", str(number - transaction.started + 2), start[2]))


class _Counted:
    """Numbers that run on through a set: HL01 with its parents, LX01 within a claim."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.levels = self.lines = 0

    def wrong(self, elements: Elements) -> Iterator[int]:
        """The elements that count wrongly."""
        if elements[0] == "HL":
            self.levels += 1
            if elements[1:2] != [str(self.levels)]:
                yield 1
            elif len(elements) > 2 and elements[2] and not _is_above(elements[2], self.levels):
                yield 2
        elif elements[0] == "CLM":
            self.lines = 0
        elif elements[0] == "LX" and self.kind == "837":
            self.lines += 1
            if elements[1:2] != [str(self.lines)]:
                yield 1


def _is_above(number: str, level: int) -> bool:
    """Whether it is the number of a level that came before."""
    return len(number) < 19 and number.isdecimal() and int(number) < level


def _position(refdes: str) -> tuple[int, int]:
    """Element and component of a reference designator, as CLM05-1 has; (0, 0) of the segment as a whole."""
    element, _, component = refdes.partition("-")
    digits = element[-2:]
    return int(digits) if digits.isdecimal() else 0, int(component) if component.isdecimal() else 0


def _code(code: str) -> str:
    return code if len(code) <= 3 and code.isalnum() else "8"

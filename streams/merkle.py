"""Merkle trees over a partition's records, hashed as RFC 9162 says: heads, inclusion and consistency proofs."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

EMPTY = sha256(b"").digest()


class Tree:
    """A tree over leaves in order. Whole levels are kept, so that any number of proofs costs one building."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        self._levels = [list(leaves)]
        while len(self._levels[-1]) > 1:
            below = self._levels[-1]
            level = [node(below[n], below[n + 1]) for n in range(0, len(below) - 1, 2)]
            self._levels.append(level + below[len(below) & ~1 :])

    @property
    def size(self) -> int:
        """How many leaves there are."""
        return len(self._levels[0])

    def root(self, size: int | None = None) -> bytes:
        """The head of the tree as it was when it had `size` leaves; as it is without one."""
        return self._hash(0, self.size if size is None else size)

    def inclusion(self, index: int) -> list[bytes]:
        """The path from a leaf to the root (2.1.3.1)."""
        path, at = [], index
        for level in self._levels[:-1]:
            if at ^ 1 < len(level):
                path.append(level[at ^ 1])
            at >>= 1
        return path

    def consistency(self, size: int) -> list[bytes]:
        """Proof that the tree of `size` leaves is the beginning of this one (2.1.4.1)."""
        if not 0 < size < self.size:
            return []
        return self._subproof(size, 0, self.size, True)

    def _hash(self, start: int, end: int) -> bytes:
        """The head of the leaves from start to end; whole aligned stretches are known."""
        count = end - start
        if count == 0:
            return EMPTY
        height = count.bit_length() - 1
        if count == 1 << height and start % count == 0:
            return self._levels[height][start >> height]
        split = _split(count)
        return node(self._hash(start, start + split), self._hash(start + split, end))

    def _subproof(self, size: int, start: int, end: int, whole: bool) -> list[bytes]:
        count = end - start
        if size == count:
            return [] if whole else [self._hash(start, end)]
        split = _split(count)
        if size <= split:
            return [*self._subproof(size, start, start + split, whole), self._hash(start + split, end)]
        return [*self._subproof(size - split, start + split, end, False), self._hash(start, start + split)]


class Frontier:
    """The right edge of a tree that only grows: enough for its head, whatever its size."""

    def __init__(self, size: int = 0, peaks: Sequence[bytes] = ()) -> None:
        self.size, self.peaks = size, list(peaks)

    def append(self, leaf: bytes) -> None:
        """One more leaf: two equal whole trees beside each other become one."""
        self.peaks.append(leaf)
        self.size += 1
        full = self.size
        while not full & 1:
            right = self.peaks.pop()
            self.peaks[-1] = node(self.peaks[-1], right)
            full >>= 1

    def root(self) -> bytes:
        """The head, as a tree of these leaves has it."""
        if not self.peaks:
            return EMPTY
        *others, found = self.peaks
        for left in reversed(others):
            found = node(left, found)
        return found


def node(left: bytes, right: bytes) -> bytes:
    """An inner node."""
    return sha256(b"\x01" + left + right).digest()


def _split(count: int) -> int:
    """The largest power of two below a count."""
    return 1 << (count - 1).bit_length() - 1


def is_consistent(first: int, second: int, first_root: bytes, second_root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether a tree is the beginning of a larger one (2.1.4.2)."""
    if first == second:
        return first_root == second_root and not proof
    if first == 0:
        return not proof
    path = list(proof)
    if first & (first - 1) == 0:
        path.insert(0, first_root)
    if not path:
        return False
    at, last = first - 1, second - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    one = other = path[0]
    for step in path[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            one, other = node(step, one), node(step, other)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            other = node(other, step)
        at, last = at >> 1, last >> 1
    return last == 0 and one == first_root and other == second_root

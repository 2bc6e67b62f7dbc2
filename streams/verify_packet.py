"""Checks an audit packet by itself: Python 3.9 or newer, nothing but its standard library, no network.

    python -I -S verify.py [PACKET.zip | FOLDER] [--key PUBLIC-KEY]

Without an argument it checks the folder it lies in, or the one zip file beside it. It checks that no byte of the packet
was changed since it was signed; that each record stands in the log whose head was signed at the checkpoint (RFC 9162
inclusion proofs); that each payment's lines add up, use values of the adopted terms, rest on records of the packet, and
that reversals are exact. It exits 0, or 6 with every reason.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

MANIFEST, SIGNATURE = "manifest.json", "manifest.sig"
FIXED = ("facts.json", "payments.json", "report.html", "verify.py")


def pack_name(digest: str) -> str:
    """What the contest pack of this SHA-256 is called in a packet."""
    return f"pack-{digest[:16]}.json"


class Wrong(Exception):
    """One thing that is not as it must be."""


# -- hashes --


def sized(part: bytes | None) -> bytes:
    """A part with its length before it; of none, -1."""
    return struct.pack(">q", -1) if part is None else struct.pack(">q", len(part)) + part


def content_digest(key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes | None]]) -> bytes:
    """The SHA-256 of what a record holds."""
    form = struct.pack(">q", len(headers))
    for name, held in headers:
        form += sized(name.encode()) + sized(held)
    return hashlib.sha256(sized(key) + sized(value) + form).digest()


def leaf_of(offset: int, timestamp_ms: int, content: bytes) -> bytes:
    """The leaf of a record in its partition's Merkle tree."""
    return hashlib.sha256(b"\0" + struct.pack(">qq", offset, timestamp_ms) + content).digest()


def node(left: bytes, right: bytes) -> bytes:
    """An inner node (RFC 9162, 2.1.1)."""
    return hashlib.sha256(b"\1" + left + right).digest()


def root_from_inclusion(index: int, size: int, leaf: bytes, path: Sequence[bytes]) -> bytes:
    """The root that an inclusion proof leads to (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size:
        raise Wrong("its place is outside the tree")
    at, last, found = index, size - 1, leaf
    for step in path:
        if last == 0:
            raise Wrong("its proof is too long")
        if at & 1 or at == last:
            found = node(step, found)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            found = node(found, step)
        at, last = at >> 1, last >> 1
    if last:
        raise Wrong("its proof is too short")
    return found


# -- Ed25519 (RFC 8032), verification only --

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT = pow(2, (P - 1) // 4, P)


def _add(a: Any, b: Any) -> Any:
    e, f = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    g, h = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    w, x, y, z = f - e, h - g, h + g, f + e
    return w * x % P, y * z % P, x * y % P, w * z % P


def _times(number: int, point: Any) -> Any:
    found: Any = (0, 1, 1, 0)
    while number:
        if number & 1:
            found = _add(found, point)
        point, number = _add(point, point), number >> 1
    return found


def _point(data: bytes) -> Any:
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & ((1 << 255) - 1)
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = P - x
    return x, y, 1, x * y % P


BASE = _point((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def signed_by(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether an Ed25519 signature is right."""
    if len(public_key) != 32 or len(signature) != 64:
        return False
    key, r, s = _point(public_key), _point(signature[:32]), int.from_bytes(signature[32:], "little")
    if key is None or r is None or s >= ORDER:
        return False
    h = int.from_bytes(hashlib.sha512(signature[:32] + public_key + message).digest(), "little") % ORDER
    left, right = _times(s, BASE), _add(r, _times(h, key))
    same: bool = (left[0] * right[2] - right[0] * left[2]) % P == 0 and (
        left[1] * right[2] - right[1] * left[2]
    ) % P == 0
    return same


# -- the packet as files --


def archive(files: Mapping[str, bytes]) -> bytes:
    """The one zip file of these files: by name, uncompressed, without times."""
    body, index = b"", b""
    for name in sorted(files):
        data = files[name]
        raw, check = name.encode("ascii"), zlib.crc32(data)
        fields = struct.pack("<HHHHHIII", 20, 0, 0, 0, 33, check, len(data), len(data))
        index += (
            b"PK\1\2" + struct.pack("<H", 20) + fields + struct.pack("<HHHHHII", len(raw), 0, 0, 0, 0, 0, len(body))
        )
        index += raw
        body += b"PK\3\4" + fields + struct.pack("<HH", len(raw), 0) + raw + data
    count = len(files)
    return body + index + b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, count, count, len(index), len(body), 0)


def files_of(path: Path) -> dict[str, bytes]:
    """The packet's files; of a zip only if every byte of it is in its place."""
    if path.is_dir():
        there = (path / name for name in sorted({MANIFEST, SIGNATURE, *FIXED}))
        packs = path.glob(pack_name("?" * 16))
        return {file.name: file.read_bytes() for file in (*there, *sorted(packs)) if file.is_file()}
    whole = path.read_bytes()
    try:
        with zipfile.ZipFile(path) as packed:
            found = {name: packed.read(name) for name in packed.namelist()}
        same = archive(found) == whole
    except Exception as error:
        raise Wrong(f"the zip file is damaged: {type(error).__name__}") from None
    if not same:
        raise Wrong("the zip file is not the one that was made: its frame was changed")
    return found


# -- what is checked --


def canonical(document: Any) -> bytes:
    """The one byte form of a document that is signed or hashed."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


class Check:
    """Collects what is wrong and what could not be checked."""

    def __init__(self, files: Mapping[str, bytes], pinned: str = "") -> None:
        self.files, self.pinned, self.key = files, pinned, ""
        self.wrong: list[str] = []
        self.unchecked: list[str] = []
        self.passed: list[str] = []
        self.manifest: dict[str, Any] = {}
        self.heads: dict[tuple[str, int], tuple[int, bytes]] = {}

    def run(self) -> bool:
        """Check everything; a thing that is wrong does not keep the others from being checked."""
        steps: tuple[Callable[[], None], ...] = (
            self.signature, self.hashes, self.checkpoint, self.records, self.money,
        )  # fmt: skip
        for step in steps:
            try:
                step()
            except Wrong as wrong:
                self.wrong.append(str(wrong))
            except Exception as error:
                self.wrong.append(f"{step.__name__}: the packet cannot be read ({type(error).__name__})")
        if not self.pinned:
            self.unchecked.append(
                f"that the key is the platform's own: compare {self.key} with what it publishes, or give --key"
            )
        self.unchecked.append("what sealed parts hold: names and identifiers are ciphertext and stay closed")
        self.unchecked.append("that the decision follows from the facts: fold the log again with carepact for that")
        return not self.wrong

    def signature(self) -> None:
        """The manifest is signed by the key it names."""
        if MANIFEST not in self.files or SIGNATURE not in self.files:
            raise Wrong("manifest.json or manifest.sig is missing")
        data = self.files[MANIFEST]
        self.manifest = json.loads(data)
        self.key = self.manifest["public_key"]
        if self.pinned and self.pinned != self.key:
            raise Wrong("manifest.json: it names another key than the one given")
        text = self.files[SIGNATURE]
        try:
            signature = bytes.fromhex(text.decode("ascii"))
        except ValueError:
            raise Wrong("manifest.sig: not a signature") from None
        if signature.hex().encode() != text:
            raise Wrong("manifest.sig: not a signature as it is written")
        if not signed_by(bytes.fromhex(self.key), data, signature):
            raise Wrong("manifest.json: its signature does not fit: the manifest or the signature was changed")
        self.passed.append(f"the manifest is signed by key {self.key}")

    def hashes(self) -> None:
        """Every file has the hash that the manifest names, and no file is missing or added."""
        named = self.manifest["files"]
        for name in sorted(set(named) | set(self.files) - {MANIFEST, SIGNATURE}):
            if name not in self.files:
                self.wrong.append(f"{name}: missing")
            elif name not in named:
                self.wrong.append(f"{name}: not of this packet")
            elif hashlib.sha256(self.files[name]).hexdigest() != named[name]:
                self.wrong.append(f"{name}: changed since the manifest was signed")
        self.passed.append(f"{len(named)} files have the hashes that were signed")

    def checkpoint(self) -> None:
        """The heads of the logs were signed by the same key."""
        held = dict(self.manifest["checkpoint"])
        signature = bytes.fromhex(held.pop("signature"))
        if held["public_key"] != self.key:
            raise Wrong("checkpoint: signed by another key than the packet")
        if not signed_by(bytes.fromhex(self.key), canonical(held), signature):
            raise Wrong("checkpoint: its signature does not fit")
        self.heads = {(h["topic"], h["partition"]): (h["size"], bytes.fromhex(h["root"])) for h in held["heads"]}
        self.passed.append(f"the checkpoint of {held['at']} is signed: {len(self.heads)} log heads")

    def records(self) -> None:
        """Each record hashes to a leaf that is in the log."""
        count = withheld = 0
        for name in ("facts.json", "payments.json"):
            for record in json.loads(self.files[name]):
                count += 1
                withheld += "value" not in record
                try:
                    self.record(record)
                except Wrong as wrong:
                    place = f"{record.get('topic')}[{record.get('partition')}] offset {record.get('offset')}"
                    self.wrong.append(f"{name}: record {place}: {wrong}")
        self.passed.append(f"{count} records stand in the logs at their offsets")
        if withheld:
            self.unchecked.append(f"the content of {withheld} records, withheld from this role; their place is proved")

    def record(self, record: Mapping[str, Any]) -> None:
        """One record's leaf and proof."""
        content = bytes.fromhex(record["content"])
        if "value" in record:
            key = None if record["key"] is None else record["key"].encode()
            headers = [(name, None if held is None else base64.b64decode(held)) for name, held in record["headers"]]
            if content_digest(key, record["value"].encode(), headers) != content:
                raise Wrong("its content does not have the hash it names")
        head = self.heads.get((record["topic"], record["partition"]))
        if head is None:
            raise Wrong("no head of its log was signed")
        size, root = head
        leaf = leaf_of(record["offset"], record["timestamp"], content)
        path = [bytes.fromhex(step) for step in record["path"]]
        if root_from_inclusion(record["index"], size, leaf, path) != root:
            raise Wrong("it is not in the log: its proof does not lead to the signed head")

    def money(self) -> None:
        """Each payment adds up, uses the adopted terms and rests on records of the packet."""
        facts: dict[tuple[str, int, int], Any] = {}
        sheets: list[Any] = []
        for record in json.loads(self.files["facts.json"]):
            facts[record["topic"], record["partition"], record["offset"]] = record
            if "value" in record and "TermsAdopted" in record["type"]:
                data = json.loads(record["value"])["data"]
                if hashlib.sha256(canonical(data["content"])).hexdigest() != data["digest"]:
                    self.wrong.append(f"terms {data['sheet_version']}: they do not have the digest they name")
                sheets.append(data["content"]["terms"])
        paid: dict[str, Any] = {}
        told = others = 0
        for record in json.loads(self.files["payments.json"]):
            if "value" not in record:
                continue
            data = json.loads(record["value"])["data"]
            if "payment_id" in data:
                paid[data["payment_id"]] = data
            elif "pack_digest" in data:
                told += 1
                self.pack(data)
            else:
                others += 1
        for name, payment in paid.items():
            for reason in self.payment(payment, paid, facts, sheets):
                self.wrong.append(f"payment {name}: {reason}")
        self.passed.append(f"{len(paid)} payments add up, by the terms adopted, on the facts given")
        if told:
            self.passed.append(f"{told} answers to settlement requests have the packs that they name")
        if others:
            self.unchecked.append(
                f"that {others} released figures or answers follow from facts: they are shown as sent"
            )

    def pack(self, answer: Mapping[str, Any]) -> None:
        """The pack on which a settlement's answer rests is the one whose hash it names."""
        digest = answer["pack_digest"]
        pack = self.files.get(pack_name(digest))
        if pack is None:
            self.wrong.append(f"settlement {answer['request_id']}: its pack {digest} is not in the packet")
        elif hashlib.sha256(pack).hexdigest() != digest:
            self.wrong.append(f"settlement {answer['request_id']}: its pack is not the one it names")

    def payment(
        self, payment: Mapping[str, Any], paid: Mapping[str, Any], facts: Mapping[Any, Any], sheets: Sequence[Any]
    ) -> Iterator[str]:
        """What is wrong with one payment."""
        lines = payment["lines"]
        if sum(line["amount_cents"] for line in lines) != payment["amount_cents"]:
            yield "its lines do not add up to its amount"
        for line in lines:
            for term in line["terms"]:
                wanted = (term["name"], str(term["from"]), str(term["value"]))
                if not any(has(terms, *wanted) for terms in sheets):
                    yield f"{wanted[0]} from {wanted[1]} is not {wanted[2]} in the terms given"
        for fact in payment["facts"]:
            at = fact["position"]
            record = facts.get((at["topic"], at["partition"], at["offset"]))
            if record is None:
                yield f"the fact at offset {at['offset']} that it rests on is not in the packet"
            elif record["type"] != fact["type"] or fact["event_id"] not in (record["event_id"], record.get("fact_id")):
                yield f"the record at offset {at['offset']} is not the fact that it rests on"
        reversed_one = paid.get(payment["reverses"] or "") if "reverses" in payment else None
        if reversed_one is not None and reversed_one["amount_cents"] != -payment["amount_cents"]:
            yield "it does not take back exactly what it reverses"


def has(terms: Mapping[str, Any], name: str, day: str, value: str) -> bool:
    """Whether a sheet has this value of a term from this day on."""
    values = terms.get(name, {}).get("values", [])
    return any(str(one["from"]) == day and str(one["value"]) == value for one in values)


def check(path: Path, pinned: str = "") -> tuple[bool, Check]:
    """(whether all is right, the check) of a packet, zip or folder."""
    try:
        made = Check(files_of(path), pinned)
    except Wrong as wrong:
        made = Check({}, pinned)
        made.wrong.append(str(wrong))
        return False, made
    return made.run(), made


def _default() -> Path | None:
    here = Path(__file__).resolve().parent
    if (here / MANIFEST).is_file():
        return here
    zips = sorted(here.glob("*.zip"))
    return zips[0] if len(zips) == 1 else None


def main(words: Sequence[str]) -> int:
    """The command."""
    words, pinned = list(words), ""
    if "--key" in words:
        at = words.index("--key")
        pinned, words = "".join(words[at + 1 : at + 2]), words[:at] + words[at + 2 :]
    path = Path(words[0]) if words else _default()
    if path is None or not path.exists():
        sys.stderr.write("usage: python verify.py [PACKET.zip | FOLDER] [--key PUBLIC-KEY]\n")
        return 2
    right, made = check(path, pinned)
    told = (("checked", made.passed if right else []), ("WRONG", made.wrong), ("not checked", made.unchecked))
    for kind, said in told:
        for one in said:
            sys.stdout.write(f"{kind}: {one}\n")
    sys.stdout.write("the packet is whole and right\n" if right else "THE PACKET IS NOT RIGHT\n")
    return 0 if right else 6


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

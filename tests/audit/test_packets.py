"""Audit packets: right as made, wrong with a reason after any change; checkpoints that logs must go on to fit."""

from __future__ import annotations

import ast
import asyncio
import io
import json
import random
import subprocess
import sys
import zipfile
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio
from typer.testing import CliRunner

from carepact.audit_commands import app
from carepact.local.platform import LocalPlatform
from streams import verify_packet
from streams.checkpointing import Keeper
from streams.checkpoints import Book, Leaves, Signer, examine, hash_of, heads_of, is_signed, leaves_of, made, topics_of
from streams.log_writer import LogWriter
from streams.merkle import EMPTY, Frontier, Tree, is_consistent, node
from streams.packets import Subject
from streams.packets import made as packet_made
from streams.roster import Roster
from streams.topics import OPERATOR, log_topic
from streams.verify_packet import archive, check, files_of, root_from_inclusion, signed_by
from tests.streams.replayed import Sent, World, world_of
from tests.streams.test_requests import World as Asking
from tests.streams.test_requests import relay

TAMPERS = 50
PERIOD = 2


@dataclass
class Office:
    """A world with a key, a first checkpoint, and a packet."""

    world: World
    signer: Signer
    book: Book
    leaves: dict[tuple[str, int], Leaves]
    checkpoint: dict[str, Any]
    payer: str
    folder: Path

    async def packet(self, subject: Subject, role: str = "auditor") -> bytes:
        at = datetime(2026, 1, 31, tzinfo=UTC)
        reach, database = self.world.connections, self.world.connection
        return await packet_made(reach, database, subject, role, self.signer, self.checkpoint, self.leaves, at)


@pytest_asyncio.fixture(scope="module")
async def office(platform: LocalPlatform, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Office]:
    async with world_of(platform, "audit", payers=1) as world:
        folder = tmp_path_factory.mktemp("audit")
        payer = world.roster.payers[0].name
        await settle(world)
        signer = Signer(folder / "secrets" / "audit-key")
        book = Book(world.connections, folder / "checkpoints.ndjson", world.roster.space)
        leaves = await leaves_of(world.connections, topics_of(world.roster.payers[0], world.roster.space))
        checkpoint = made(signer, payer, datetime(2026, 1, 30, tzinfo=UTC), heads_of(leaves), "")
        await book.add(checkpoint)
        yield Office(world, signer, book, leaves, checkpoint, payer, folder)


async def settle(world: World) -> None:
    """A period of the first payer asked for, answered and sent."""
    asking = Asking(world.roster.payers[0], world.connections, connection=world.connection)
    asked = await asking.ask(PERIOD)
    async with asking.desk() as desk:
        await asking.until_told(desk, asked)
    await relay(asking)


@pytest_asyncio.fixture(scope="module")
async def packet(office: Office) -> bytes:
    return await office.packet(Subject(office.payer, practice="P1"))


def verified(tmp_path: Path, packet: bytes, key: str = "") -> tuple[bool, list[str]]:
    file = tmp_path / "packet.zip"
    file.write_bytes(packet)
    right, found = check(file, key)
    return right, found.wrong


def alone(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """`verify.py` as an outsider runs it: isolated, without site packages, in its folder."""
    command = [sys.executable, "-I", "-S", "verify.py", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


async def test_a_packet_checks_itself_in_an_empty_folder(office: Office, packet: bytes, tmp_path: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(packet)) as packed:
        packed.extractall(tmp_path / "open")
    done = alone(tmp_path / "open")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the packet is whole and right" in done.stdout
    assert "not checked: that the key is the platform's own" in done.stdout
    assert "not checked: what sealed parts hold" in done.stdout
    beside = tmp_path / "beside"
    beside.mkdir()
    (beside / "packet.zip").write_bytes(packet)
    (beside / "verify.py").write_bytes((tmp_path / "open" / "verify.py").read_bytes())
    assert alone(beside).returncode == 0
    assert alone(beside, "packet.zip", "--key", office.signer.public_key).returncode == 0
    other = alone(beside, "packet.zip", "--key", "00" * 32)
    assert other.returncode == 6 and "another key" in other.stdout
    assert alone(tmp_path).returncode == 2


def test_verify_py_keeps_to_python_3_9_and_its_library() -> None:
    source = Path(verify_packet.__file__).read_text()
    tree = ast.parse(source, feature_version=(3, 9))
    imported = {
        name.split(".")[0]
        for found in ast.walk(tree)
        for name in (
            [alias.name for alias in found.names]
            if isinstance(found, ast.Import)
            else [found.module or ""]
            if isinstance(found, ast.ImportFrom)
            else []
        )
    }
    assert imported <= set(sys.stdlib_module_names)
    assert not any(isinstance(found, ast.Match) for found in ast.walk(tree))


async def test_a_packet_holds_what_its_payments_rest_on(office: Office, packet: bytes) -> None:
    files = _files(packet)
    sent = [json.loads(record["value"])["data"] for record in json.loads(files["payments.json"])]
    payments = [one for one in sent if "payment_id" in one]
    facts = {(r["topic"], r["partition"], r["offset"]) for r in json.loads(files["facts.json"])}
    count = await office.world.connection.fetchval(
        "SELECT (SELECT count(*) FROM payment WHERE payer = $1 AND practice = 'P1')"
        " + (SELECT count(*) FROM settlement_payment WHERE payer = $1 AND practice = 'P1')", office.payer
    )  # fmt: skip
    assert len(payments) == count > 3
    for payment in payments:
        for at in (payment["position"], *(fact["position"] for fact in payment["facts"])):
            assert (at["topic"], at["partition"], at["offset"]) in facts
        assert payment["payment_id"] in files["report.html"].decode()
    again = await office.packet(Subject(office.payer, practice="P1"))
    assert again == packet


async def test_each_kind_of_payment_proves_itself_alone(office: Office, tmp_path: Path) -> None:
    rows = await office.world.connection.fetch(
        "SELECT kind, min(payment_id::text) FROM payment WHERE payer = $1 GROUP BY kind, reverses IS NULL", office.payer
    )
    for kind, name in rows:
        assert verified(tmp_path, await office.packet(Subject(office.payer, payment=name))) == (True, []), kind


async def test_a_payment_brings_what_it_took_back(office: Office, tmp_path: Path) -> None:
    row = await office.world.connection.fetchrow(
        "SELECT payment_id::text, reverses::text, episode_id::text FROM payment"
        " WHERE payer = $1 AND reverses IS NOT NULL ORDER BY 1 LIMIT 1", office.payer,
    )  # fmt: skip
    one = await office.packet(Subject(office.payer, payment=row[0]))
    assert verified(tmp_path, one) == (True, [])
    shown = {record["event_id"] for record in json.loads(_files(one)["payments.json"])}
    assert {row[0], row[1]} <= shown
    whole = await office.packet(Subject(office.payer, episode=row[2]))
    assert verified(tmp_path, whole) == (True, [])


async def test_a_practices_period_brings_its_settlement_and_the_pack_it_rests_on(
    office: Office, tmp_path: Path
) -> None:
    rows = await office.world.connection.fetch(
        "SELECT payment_id::text, practice FROM settlement_payment WHERE payer = $1 ORDER BY 1", office.payer
    )
    name, practice = rows[0]
    whole = await office.packet(Subject(office.payer, practice=practice, period=PERIOD))
    assert verified(tmp_path, whole) == (True, [])
    files = _files(whole)
    sent = [json.loads(record["value"])["data"] for record in json.loads(files["payments.json"])]
    ids = {one["payment_id"] for one in sent if "payment_id" in one}
    assert {row[0] for row in rows if row[1] == practice} <= ids
    (answer,) = [one for one in sent if "pack_digest" in one]
    pack = f"pack-{answer['pack_digest'][:16]}.json"
    assert sha256(files[pack]).hexdigest() == answer["pack_digest"]
    assert "RECOUPMENT" in files["report.html"].decode()
    alone_ = await office.packet(Subject(office.payer, payment=name))
    assert verified(tmp_path, alone_) == (True, [])
    shown = [json.loads(record["value"])["data"] for record in json.loads(_files(alone_)["payments.json"])]
    assert {one["payment_id"] for one in shown if "payment_id" in one} == {name}
    for changed, reason in ((b"{}", "changed since"), (None, "missing")):
        tampered = {**files, pack: changed} if changed else {one: data for one, data in files.items() if one != pack}
        right, wrong = verified(tmp_path, archive(tampered))
        assert not right and any(reason in one for one in wrong)
    resigned = _rehashed({**files, pack: b"{}"})
    resigned["manifest.sig"] = office.signer.sign(resigned["manifest.json"]).encode()
    right, wrong = verified(tmp_path, archive(resigned))
    assert not right and any("its pack is not the one" in one for one in wrong)
    masked = await office.packet(Subject(office.payer, practice=practice, period=PERIOD), "practice")
    assert verified(tmp_path, masked) == (True, [])


async def test_a_changed_settlement_is_named(office: Office) -> None:
    world = office.world
    name = await world.connection.fetchval(
        "SELECT min(payment_id::text) FROM settlement_payment WHERE amount_cents <> 0"
    )
    assert (await world.verify(office.payer)).difference is None
    for table, column, back in (
        ("settlement_payment", "amount_cents", 1),
        ("settlement_payment", "kind", "x"),
        ("settlement_ledger_line", "amount_cents", 1),
    ):
        where = f"WHERE payment_id = '{name}'"
        change, undo = (
            (f"{column} + {back}", f"{column} - {back}") if back == 1 else (f"{column} || 'x'", f"left({column}, -1)")
        )
        async with world.changed(
            f"UPDATE {table} SET {column} = {change} {where}", f"UPDATE {table} SET {column} = {undo} {where}"
        ):
            difference = (await world.verify(office.payer)).difference
        assert difference is not None
        assert (difference.table, difference.key, difference.field) == (table, {"payment_id": name}, column)


async def test_a_practice_sees_its_payments_and_no_members_facts(office: Office, tmp_path: Path) -> None:
    masked = await office.packet(Subject(office.payer, practice="P1"), "practice")
    assert verified(tmp_path, masked) == (True, [])
    records = json.loads(_files(masked)["facts.json"])
    assert any("value" not in record for record in records)
    open_ = [json.loads(record["value"]) for record in records if "value" in record]
    assert all("subject" not in event for event in open_)
    assert {event["data"].get("practice") for event in open_} <= {None, "P1"}
    file = tmp_path / "packet.zip"
    assert any("withheld" in one for one in check(file)[1].unchecked)


def _files(packet: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(packet)) as packed:
        return {name: packed.read(name) for name in packed.namelist()}


def _edit(name: str, change: Callable[[Any, random.Random], None]) -> Callable[[dict[str, bytes], random.Random], None]:
    """A change of a JSON file, written back as it was."""

    def edit(files: dict[str, bytes], chance: random.Random) -> None:
        document = json.loads(files[name])
        change(document, chance)
        files[name] = orjson.dumps(document, option=orjson.OPT_INDENT_2)

    return edit


def _amount(records: Any, chance: random.Random) -> None:
    record = chance.choice(records)
    event = json.loads(record["value"])
    event["data"]["amount_cents"] += chance.choice((-1, 1, 100))
    record["value"] = json.dumps(event)


def _dropped(records: Any, chance: random.Random) -> None:
    records.pop(chance.randrange(len(records)))


def _swapped(records: Any, chance: random.Random) -> None:
    one, other = chance.sample(range(len(records)), 2)
    records[one]["value"], records[other]["value"] = records[other]["value"], records[one]["value"]


def _field(name: str) -> Callable[[Any, random.Random], None]:
    def change(records: Any, chance: random.Random) -> None:
        record = chance.choice(records)
        record[name] = record[name] + (1 if isinstance(record[name], int) else "0")

    return change


def _path(records: Any, chance: random.Random) -> None:
    record = chance.choice([one for one in records if one["path"]])
    record["path"][chance.randrange(len(record["path"]))] = "00" * 32


def _head(manifest: Any, chance: random.Random) -> None:
    chance.choice(manifest["checkpoint"]["heads"])["root"] = "11" * 32


EDITS = [
    _edit("payments.json", _amount),
    _edit("payments.json", _dropped),
    _edit("payments.json", _swapped),
    _edit("facts.json", _dropped),
    _edit("facts.json", _swapped),
    *(_edit("facts.json", _field(name)) for name in ("offset", "timestamp", "key", "value", "index", "type")),
    _edit("facts.json", _path),
    _edit("payments.json", _path),
]


@pytest.mark.parametrize("number", range(TAMPERS))
def test_a_tampered_packet_is_refused_for_a_named_reason(packet: bytes, tmp_path: Path, number: int) -> None:
    chance, files = random.Random(number), _files(packet)
    match number % 5:
        case 0:  # any byte of the file
            changed = bytearray(packet)
            changed[chance.randrange(len(packet))] ^= 1 << chance.randrange(8)
            tampered = bytes(changed)
        case 1:  # a file taken out, or another added
            if chance.random() < 0.5:
                del files[chance.choice(sorted(files))]
            else:
                files["more.json"] = b"{}"
            tampered = archive(files)
        case 2:  # an edit, with the manifest as it was
            chance.choice(EDITS)(files, chance)
            tampered = archive(files)
        case 3:  # an edit whose hash is put right in the manifest, under the old signature
            chance.choice(EDITS)(files, chance)
            tampered = archive(_rehashed(files))
        case _:  # an edit, signed again by another key, which no checkpoint was signed by
            if chance.random() < 0.3:
                manifest = json.loads(files["manifest.json"])
                _head(manifest, chance)
                files["manifest.json"] = json.dumps(manifest).encode()
            else:
                chance.choice(EDITS)(files, chance)
            stranger = Signer(tmp_path / "stranger")
            files = _rehashed(files, stranger.public_key)
            files["manifest.sig"] = stranger.sign(files["manifest.json"]).encode()
            tampered = archive(files)
    right, wrong = verified(tmp_path, tampered)
    assert not right
    assert wrong and all(len(reason) > 15 for reason in wrong)


def _rehashed(files: dict[str, bytes], key: str = "") -> dict[str, bytes]:
    manifest = json.loads(files["manifest.json"])
    manifest["files"] = {name: sha256(files[name]).hexdigest() for name in manifest["files"]}
    manifest |= {"public_key": key} if key else {}
    return files | {"manifest.json": orjson.dumps(manifest, option=orjson.OPT_INDENT_2)}


@pytest.mark.parametrize("edit", range(len(EDITS)))
async def test_even_our_own_signature_makes_no_wrong_packet_right(
    office: Office, packet: bytes, tmp_path: Path, edit: int
) -> None:
    files = _files(packet)
    EDITS[edit](files, random.Random(edit))
    files = _rehashed(files)
    files["manifest.sig"] = office.signer.sign(files["manifest.json"]).encode()
    right, wrong = verified(tmp_path, archive(files))
    if edit == 1:  # a payment left out of a packet: what is not there cannot be missed
        return
    assert not right, EDITS[edit]
    assert any(reason.startswith(("facts.json", "payments.json", "payment", "money", "records")) for reason in wrong)


@pytest.mark.parametrize("count", [40, pytest.param(400, marks=pytest.mark.long)])
def test_every_flipped_bit_of_a_packet_is_found(packet: bytes, tmp_path: Path, count: int) -> None:
    chance = random.Random(count)
    for _ in range(count):
        changed = bytearray(packet)
        changed[chance.randrange(len(packet))] ^= 1 << chance.randrange(8)
        assert not verified(tmp_path, bytes(changed))[0]


# -- checkpoints ------------------------------------------------------------------------------------------------------


async def test_logs_that_go_on_still_fit_their_checkpoints(office: Office) -> None:
    assert is_signed(office.checkpoint)
    key = office.signer.public_key
    assert await examine(office.book, office.payer, office.leaves, key) == []
    cut = {at: Leaves(one.offsets[:-1], one.leaves[:-1], Tree(one.leaves[:-1])) for at, one in office.leaves.items()}
    shorter = await examine(office.book, office.payer, cut, key)
    assert len(shorter) == sum(1 for one in office.leaves.values() if one.leaves)
    assert all("shorter" in broken.reason for broken in shorter)
    at = next(at for at, one in office.leaves.items() if len(one.leaves) > 3)
    leaves = [*office.leaves[at].leaves]
    leaves[1], leaves[2] = leaves[2], leaves[1]
    swapped = office.leaves | {at: Leaves(office.leaves[at].offsets, leaves, Tree(leaves))}
    (broken,) = await examine(office.book, office.payer, swapped, key)
    assert "does not begin with" in broken.reason and at[0] in broken.reason


async def test_a_changed_or_missing_checkpoint_is_named(office: Office, tmp_path: Path) -> None:
    second = made(
        office.signer,
        office.payer,
        datetime(2026, 1, 31, tzinfo=UTC),
        heads_of(office.leaves),
        hash_of(office.checkpoint),
    )
    await office.book.add(second)
    key, lines = office.signer.public_key, (office.folder / "checkpoints.ndjson").read_bytes().splitlines()
    assert await examine(office.book, office.payer, office.leaves, key) == []
    for changed, reason in (
        (lines[1:], "does not follow"),
        (lines[:1], "do not hold the same"),
        ([lines[0].replace(b'"size":', b'"size":1'), lines[1]], "not signed"),
    ):
        file = tmp_path / "other.ndjson"
        file.write_bytes(b"\n".join(changed) + b"\n")
        book = Book(office.world.connections, file, office.world.roster.space)
        assert any(reason in one.reason for one in await examine(book, office.payer, office.leaves, key)), reason


async def test_heads_are_signed_again_when_something_moved_and_only_then(
    platform: LocalPlatform, tmp_path: Path
) -> None:
    whole = Roster.load()
    roster = whole.model_copy(update={"payers": whole.payers[:1]}).within("keeper")
    await platform.make_ready(roster)
    (payer,), reach, signer = roster.names, platform.connections(OPERATOR), Signer(tmp_path / "key")
    book = Book(reach, tmp_path / "checkpoints.ndjson", roster.space)

    def keeper() -> Keeper:
        return Keeper(reach, roster, book, signer, tmp_path / "edges.json")

    def now() -> datetime:
        return datetime(2026, 1, 31, tzinfo=UTC)

    async def write(count: int) -> None:
        async with LogWriter(reach) as writer:
            await writer.write(log_topic(payer), [Sent(n % 4, b"", b"%d" % n) for n in range(count)])

    first = keeper()
    await write(9)
    assert await first.step(now) == [payer]
    assert await first.step(now) == await keeper().step(now) == []
    await write(5)
    assert await keeper().step(now) == [payer], "goes on from the edges that the first one kept"
    (tmp_path / "edges.json").write_text("[{}]")
    await write(1)
    assert await keeper().step(now) == [payer], "reads again from the beginning"
    edges = json.loads((tmp_path / "edges.json").read_text())
    for edge in edges:
        edge["peaks"] = ["00" * 32 for _ in edge["peaks"]]
    (tmp_path / "edges.json").write_text(json.dumps(edges))
    await write(1)
    assert await keeper().step(now) == [payer], "does not believe edges that do not lead to what was signed"
    leaves = await leaves_of(reach, topics_of(roster.payers[0], roster.space))
    assert len(book.filed(payer)) == 4
    assert await examine(book, payer, leaves, signer.public_key) == []


async def test_the_commands_make_check_and_chain(
    office: Office, platform: LocalPlatform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    payer = office.world.roster.payers[0]
    roster = tmp_path / "roster.toml"
    roster.write_text(
        f'space = "audit"\n[[payers]]\nname = "{payer.name}"\ntitle = "t"\ncontract = "{payer.contract}"\n'
        'time_zone = "UTC"\n'
    )
    monkeypatch.setenv("CAREPACT_HOME", str(platform.home.path))
    monkeypatch.setenv("CAREPACT_ROSTER", str(roster))
    monkeypatch.setenv("CAREPACT_POSTGRES", office.world.connections.postgres)

    async def run(*arguments: str) -> Any:
        return await asyncio.to_thread(CliRunner().invoke, app, list(arguments))

    out = tmp_path / "packet.zip"
    done = await run("packet", "--payer", payer.name, "--practice", "P2", "--out", str(out))
    assert done.exit_code == 0, done.output
    verified_again = await run("verify", str(out), "--json")
    assert (verified_again.exit_code, json.loads(verified_again.stdout)["verified"]) == (0, True)
    out.write_bytes(out.read_bytes()[:-1] + b"x")
    assert (await run("verify", str(out))).exit_code == 6
    nobody = await run("packet", "--payer", payer.name, "--practice", "P9", "--out", str(out))
    assert nobody.exit_code == 4
    chain = await run("chain", "--payer", payer.name, "--json")
    document = json.loads(chain.stdout)
    assert document["checkpoints"], chain.output
    assert (await run("checkpoint", "--payer", "nobody")).exit_code == 4


# -- hashes -----------------------------------------------------------------------------------------------------------


def _root(leaves: list[bytes]) -> bytes:
    """RFC 9162, 2.1.1, as it is written."""
    if len(leaves) < 2:
        return leaves[0] if leaves else EMPTY
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return node(_root(leaves[:split]), _root(leaves[split:]))


def test_trees_and_proofs_are_those_of_rfc_9162() -> None:
    for size in (*range(20), 33, 100):
        leaves = [sha256(b"%d" % n).digest() for n in range(size)]
        tree = Tree(leaves)
        edge = Frontier()
        for one in leaves:
            edge.append(one)
        assert (edge.size, edge.root()) == (size, tree.root())
        for first in range(size + 1):
            root = tree.root(first)
            assert root == _root(leaves[:first])
            if first:
                assert is_consistent(first, size, root, tree.root(), tree.consistency(first))
            if 0 < first < size:
                assert not is_consistent(first, size, EMPTY, tree.root(), tree.consistency(first))
        for index in range(size):
            assert root_from_inclusion(index, size, leaves[index], tree.inclusion(index)) == tree.root()


def test_signatures_are_those_of_rfc_8032() -> None:
    """Its test 2, and that no changed bit passes."""
    key = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
    signature = bytes.fromhex(
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    assert signed_by(key, b"\x72", signature)
    chance = random.Random(1)
    for _ in range(20):
        changed = bytearray(signature)
        changed[chance.randrange(64)] ^= 1 << chance.randrange(8)
        assert not signed_by(key, b"\x72", bytes(changed))
    assert not signed_by(key, b"\x73", signature)


def test_a_key_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    one, again = Signer(tmp_path / "s" / "key"), Signer(tmp_path / "s" / "key")
    assert one.public_key == again.public_key
    assert (tmp_path / "s" / "key").stat().st_mode & 0o077 == 0
    assert files_of(tmp_path) == {}

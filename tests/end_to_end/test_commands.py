"""The command line's promise to scripts, kept by real processes on one small platform: keys, codes, clean output."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests import forked
from tests.end_to_end.harness import ROOT, population
from tests.homes import home_folder

pytestmark = pytest.mark.platform
NOT_OURS = {"CAREPACT_MAVEN", "CAREPACT_KAFKA_JARS"}


@dataclass
class Answer:
    """How a command ended, and what it printed."""

    code: int
    printed: str
    said: str

    @property
    def document(self) -> Any:
        """Standard output as one JSON document; nothing else may stand on it."""
        return json.loads(self.printed)

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Standard output as NDJSON."""
        return [json.loads(line) for line in self.printed.splitlines()]


@dataclass
class Shell:
    """Runs `carepact` in a home. `files` are those of a small population."""

    home: Path
    files: Path

    def __call__(self, *words: str | Path, **variables: str) -> Answer:
        mine = {
            name: value for name, value in os.environ.items() if not name.startswith("CAREPACT_") or name in NOT_OURS
        }
        environment = {**mine, "CAREPACT_HOME": str(self.home), "PYTHONPATH": str(ROOT), **variables}
        done = forked.run(["carepact", *map(str, words)], environment)
        return Answer(done.returncode, done.stdout, done.stderr)

    def has(self, keys: Sequence[str], document: dict[str, Any]) -> None:
        """The promised keys are there; there may be more."""
        assert [key for key in keys if key not in document] == []


@pytest.fixture(scope="module")
def carepact() -> Iterator[Shell]:
    """A home with a platform that `up --detach` started and `down` ends, and a day of claims published by command."""
    with home_folder("carepact-cli-") as folder:
        shell = Shell(Path(folder) / "home", Path(folder))
        lines = population(shell.files, "unused", 24, seed=9)
        medicare = [*lines["practices"], *lines["medicare"]]
        (shell.files / "claims.ndjson").write_bytes(b"".join(line + b"\n" for line in medicare))
        up = shell("up", "--detach", "--workers", "1")
        assert up.code == 0, up.said
        try:
            yield shell
        finally:
            assert shell("down").code == 0


@pytest.fixture(scope="module")
def published(carepact: Shell) -> Answer:
    """The first publication, waited for."""
    answer = carepact("publish", "--payer", "medicare", carepact.files / "claims.ndjson", "--wait", "--json")
    assert answer.code == 0, answer.said
    return answer


@pytest.fixture(scope="module")
def paid(carepact: Shell, published: Answer) -> list[dict[str, Any]]:
    """All payments."""
    del published
    return carepact("payments", "--payer", "medicare").lines


def test_publish_counts_every_row(carepact: Shell, published: Answer) -> None:
    document = published.document
    carepact.has(("read", "accepted", "duplicate", "rejected", "events"), document)
    assert document["read"] == document["accepted"] + document["duplicate"] + document["rejected"]
    assert set(document["events"]) >= {"claim", "enrollment", "epro"}


def test_publish_exits_five_when_something_was_rejected(carepact: Shell, published: Answer) -> None:
    del published
    bad = carepact.files / "bad.ndjson"
    bad.write_bytes(b"not json\n")
    answer = carepact("publish", "--payer", "medicare", "--format", "ndjson", bad, "--wait", "--json")
    assert (answer.code, answer.document["rejected"]) == (5, 1)
    (reject,) = carepact("rejects", "list", "--json").lines
    carepact.has(("reject_id", "payer", "code", "file", "line", "field", "reason", "remedy"), reject)
    assert (reject["file"], reject["line"], reject["code"]) == ("bad.ndjson", 1, "unreadable")


def test_status_names_every_part(carepact: Shell, published: Answer) -> None:
    del published
    assert carepact("wait", "--timeout", "60").code == 0
    answer = carepact("status", "--json")
    assert answer.code == 0
    document = answer.document
    carepact.has(("kafka", "postgres", "agents", "outbox_pending", "rejects", "gateway"), document)
    carepact.has(("bootstrap", "up"), document["kafka"])
    carepact.has(("dsn", "up"), document["postgres"])
    assert "url" in document["gateway"]
    for agent in document["agents"]:
        carepact.has(("payer", "partitions", "lag"), agent)
    assert [agent["payer"] for agent in document["agents"]] == ["medicare", "bcbs-sc", "employers"]
    assert {agent["lag"] for agent in document["agents"]} == {0}


EPISODE = (
    "episode_id", "payer", "contract", "member", "cancer_type", "started_on", "ends_on", "performance_period", "status",
    "included", "expenditure_cents", "practice", "opened_by", "version",
)  # fmt: skip
PAYMENT = (
    "payment_id", "payer", "contract", "kind", "amount_cents", "member", "episode_id", "practice", "period",
    "effective_on", "reverses", "supersedes", "cause",
)  # fmt: skip


def test_episodes_and_payments_have_their_keys(carepact: Shell, paid: list[dict[str, Any]]) -> None:
    episodes = carepact("episodes", "--payer", "medicare").lines
    assert episodes
    assert paid
    for episode in episodes:
        carepact.has(EPISODE, episode)
    for payment in paid:
        carepact.has(PAYMENT, payment)
    one = paid[0]
    some = carepact("payments", "--episode", one["episode_id"], "--kind", one["kind"]).lines
    assert one in some
    assert {payment["episode_id"] for payment in some} == {one["episode_id"]}
    assert carepact("episodes", "--as-of", "2020-01-01").lines == []


def test_explain_adds_up_and_leads_to_the_log(carepact: Shell, paid: list[dict[str, Any]]) -> None:
    payment = next(one for one in paid if one["reverses"] is None)
    document = carepact("explain", payment["payment_id"], "--json").document
    carepact.has(("payment_id", "amount_cents", "lines", "facts", "contract", "as_of"), document)
    assert (
        sum(line["amount_cents"] for line in document["lines"]) == document["amount_cents"] == payment["amount_cents"]
    )
    for line in document["lines"]:
        carepact.has(("clause", "label", "arithmetic", "amount_cents", "terms"), line)
        for term in line["terms"]:
            carepact.has(("name", "value", "unit", "from", "dated_by", "source", "illustrative"), term)
    for fact in document["facts"]:
        carepact.has(("event_id", "type", "topic", "partition", "offset", "digest", "says"), fact)
    carepact.has(("id", "version", "digest"), document["contract"])
    for position in document["as_of"]:
        carepact.has(("topic", "partition", "offset"), position)
    assert payment["payment_id"] in carepact("explain", payment["payment_id"]).printed
    episode = carepact("explain", payment["episode_id"], "--json")
    assert (episode.code, episode.document["episode_id"]) == (0, payment["episode_id"])


def test_closing_a_day_twice_does_nothing_the_second_time(carepact: Shell, published: Answer) -> None:
    del published
    words = "close-day", "--payer", "medicare", "--through", "2026-01-31", "--wait", "--json"
    first = carepact(*words)
    assert first.code == 0, first.said
    rows = carepact("payments").lines
    assert carepact(*words).code == 0
    assert carepact("payments").lines == rows


def test_replay_verifies(carepact: Shell, published: Answer) -> None:
    del published
    answer = carepact("replay", "verify", "--json")
    assert (answer.code, answer.document["verified"], answer.document["difference"]) == (0, True, None)


def test_contracts_are_listed_and_shown_without_a_platform(carepact: Shell, tmp_path: Path) -> None:
    nowhere = str(tmp_path / "nowhere")
    listed = carepact("contract", "list", "--json", CAREPACT_HOME=nowhere).lines
    assert {"medicare-eom", "bcbs-sc", "employer"} <= {one["contract"] for one in listed}
    shown = carepact("contract", "show", "medicare-eom", "--on", "2024-12-31", "--json", CAREPACT_HOME=nowhere).document
    meos = next(term for term in shown["terms"] if term["name"] == "meos_payment")
    assert (meos["value"].rstrip("0").rstrip("."), meos["from"]) == ("70", "2023-07-01")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (2, ["publish", "claims.ndjson"]),
        (2, ["payments", "--nonsense"]),
        (2, ["episodes", "--as-of", "yesterday"]),
        (2, ["close-day", "--payer", "medicare", "--through", "2026-13-01"]),
        (4, ["episodes", "--payer", "nobody"]),
        (4, ["explain", "00000000-0000-0000-0000-000000000000"]),
        (4, ["contract", "show", "nobody"]),
        (4, ["replay", "verify", "--payer", "nobody"]),
        (7, ["up"]),
    ],
)
def test_a_refusal_has_its_exit_code_and_one_line(carepact: Shell, code: int, words: list[str]) -> None:
    answer = carepact(*words)
    assert (answer.code, answer.printed) == (code, ""), answer.said
    assert "Traceback" not in answer.said
    if code != 2:
        assert len(answer.said.splitlines()) == 1


def test_a_store_that_does_not_answer_asks_to_try_again(carepact: Shell, published: Answer) -> None:
    del published
    away = {"CAREPACT_POSTGRES": "postgresql://nobody:x@127.0.0.1:9/none"}
    for words in (["episodes"], ["wait", "--timeout", "0"]):
        answer = carepact(*words, **away)
        assert (answer.code, answer.printed) == (75, ""), answer.said
        assert "PostgreSQL does not answer" in answer.said
    file = carepact.files / "claims.ndjson"
    answer = carepact("publish", "--payer", "medicare", file, CAREPACT_KAFKA="127.0.0.1:9")
    assert (answer.code, "Kafka does not answer" in answer.said) == (75, True), answer.said


def test_a_home_that_never_had_a_platform_says_how_to_start_one(carepact: Shell, tmp_path: Path) -> None:
    nowhere = str(tmp_path / "nowhere")
    for words in (["episodes"], ["wait"], ["publish", "--payer", "medicare", str(carepact.files / "claims.ndjson")]):
        answer = carepact(*words, CAREPACT_HOME=nowhere)
        assert (answer.code, answer.printed) == (4, ""), answer.said
        assert "carepact up" in answer.said
    answer = carepact("status", "--json", CAREPACT_HOME=nowhere)
    assert (answer.code, answer.said) == (1, "")
    assert answer.document["kafka"]["up"] is False

"""The roster, the topics and the settings, as declared."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from carepact.local import compose
from carepact.local.errors import NotStarted, Refused
from carepact.local.kafka import new_cluster_id
from carepact.settings import Settings, connection, open_key_store
from streams.keys import WrappingKeys
from streams.roster import Roster
from streams.topics import FOR_EVER, Topic, inbox_topic, log_topic, principals, topics


@pytest.fixture
def declared() -> dict[str, Topic]:
    return {topic.name: topic for topic in topics(Roster.load())}


def test_the_shipped_roster_names_three_payers_and_two_plans() -> None:
    roster = Roster.load()
    assert [(payer.name, payer.contract) for payer in roster.payers] == [
        ("medicare", "medicare-eom"),
        ("bcbs-sc", "bcbs-sc"),
        ("employers", "employer"),
    ]
    assert roster.tenants == ("medicare", "bcbs-sc", "palmetto-manufacturing", "lowcountry-retail")
    assert roster.payer_of("lowcountry-retail").name == "employers"
    with pytest.raises(KeyError, match="no payer 'aetna'"):
        roster.payer("aetna")


def test_a_roster_that_names_one_twice_or_a_time_zone_that_is_none_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "roster.toml"
    payer = '[[payers]]\nname = "a"\ntitle = "A"\ncontract = "c"\ntime_zone = "UTC"\n'
    file.write_text(payer + payer)
    with pytest.raises(ValidationError, match="named twice: a"):
        Roster.load(file)
    file.write_text(payer.replace("UTC", "Mars/Olympus"))
    with pytest.raises(Refused, match="CAREPACT_ROSTER"):
        Settings(roster=file).load_roster()


def test_what_must_not_be_lost_is_kept_for_ever(declared: dict[str, Topic]) -> None:
    assert {topic.kind for topic in declared.values() if topic.retention_ms != FOR_EVER} == {"inbox", "control"}
    assert all(topic.config["cleanup.policy"] == "delete" for topic in declared.values())
    told_by_broker = {"log", "inbox", "requests", "rejects", "operations", "checkpoints"}
    assert {topic.kind for topic in declared.values() if topic.append_time} == told_by_broker


def test_a_tenant_may_only_write_and_only_its_own_inbox(declared: dict[str, Topic]) -> None:
    for tenant in Roster.load().tenants:
        assert [topic.name for topic in declared.values() if tenant in topic.writers] == [inbox_topic(tenant)]
        assert not [topic.name for topic in declared.values() if tenant in topic.readers + topic.trimmers]


def test_a_space_gives_topics_and_principals_of_their_own(declared: dict[str, Topic]) -> None:
    own = Roster.load().within("t1")
    assert not declared.keys() & {topic.name for topic in topics(own)}
    assert set(principals(own)) & set(principals(Roster.load())) == {"agents", "operator", "gateway"}
    assert log_topic(own.names[0]) == "carepact.t1-medicare.events.v1"


def test_a_home_without_a_platform_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotStarted, match="carepact up"):
        connection(Settings(home=tmp_path / "none"))
    assert not (tmp_path / "none").exists()


def test_a_remote_kafka_takes_its_user_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in {
        "CAREPACT_HOME": str(tmp_path),
        "CAREPACT_KAFKA": "a:9092,b:9092",
        "CAREPACT_KAFKA_USER": "someone",
        "CAREPACT_KAFKA_PASSWORD": "secret",
        "CAREPACT_KAFKA_TLS": "true",
        "CAREPACT_POSTGRES": "postgresql://me:pw@db/x",
    }.items():
        monkeypatch.setenv(name, value)
    found = connection(Settings())
    assert found.confluent()["security.protocol"] == "SASL_SSL"
    assert found.aiokafka()["sasl_plain_username"] == "someone"
    assert found.faust_broker == ["kafka://a:9092", "kafka://b:9092"]
    assert found.faust_credentials().mechanism.value == "SCRAM-SHA-512"
    assert found.postgres == "postgresql://me:pw@db/x"
    assert "secret" not in repr(found) and "pw" not in repr(found)


def test_each_principal_signs_in_to_a_remote_store_by_its_own_name(tmp_path: Path) -> None:
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "agents").write_text("one")
    (secrets / "postgres-carepact_agent").write_text("t/wo")
    settings = Settings(home=tmp_path, kafka="k:9092", postgres="postgresql://db:5432/carepact")
    found = connection(settings)
    assert (found.username, found.password) == ("agents", "one")
    assert found.postgres == "postgresql://carepact_agent:t%2Fwo@db:5432/carepact"


def test_the_properties_of_compose_are_those_of_the_declaration() -> None:
    for name, text in compose.properties().items():
        found = (compose.FOLDER / name).read_text(encoding="utf-8")
        assert found == text, "run python -m carepact.local.compose"


def test_compose_has_every_secret_that_it_mounts(tmp_path: Path) -> None:
    compose.write(tmp_path)
    text = (compose.FOLDER.parent / "compose.yaml").read_text(encoding="utf-8")
    mounted = set(re.findall(r"\./compose/secrets/([a-z_-]+)", text))
    assert mounted <= {file.name for file in (tmp_path / "secrets").iterdir()}
    assert {"postgres-keys", "wrapping-key"} <= mounted
    before = (tmp_path / "secrets" / "wrapping-key").read_text()
    compose.write(tmp_path)
    assert (tmp_path / "secrets" / "wrapping-key").read_text() == before
    WrappingKeys.found(tmp_path / "secrets" / "wrapping-key", {}, make=False)


def test_the_key_store_is_a_file_or_a_database_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings(home=tmp_path).key_store == tmp_path / "keys.sqlite3"
    monkeypatch.setenv("CAREPACT_KEYS", "/srv/keys.sqlite3")
    assert (Settings().key_store, Settings().keys_database) == (Path("/srv/keys.sqlite3"), None)
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "postgres-keys").write_text("p/w")
    monkeypatch.setenv("CAREPACT_KEYS", "postgresql://carepact_keys@keys:5432/carepact_keys")
    settings = Settings(home=tmp_path)
    assert settings.keys_database == "postgresql://carepact_keys:p%2Fw@keys:5432/carepact_keys"
    monkeypatch.setenv("CAREPACT_KEYS", "postgresql://me:pw@db/carepact")
    assert "pw" not in repr(Settings(home=tmp_path))
    with pytest.raises(Refused, match="one of its own"):
        open_key_store(Settings(home=tmp_path, postgres="postgresql://agent:x@db:5432/carepact"))


def test_passwords_stand_in_no_properties() -> None:
    for text in compose.properties().values():
        assert text.count("password=") == text.count('password="${secret:')


def test_no_cluster_id_looks_like_an_option() -> None:
    assert not [made for made in (new_cluster_id() for _ in range(2_000)) if made.startswith("-") or len(made) != 22]

"""Who may do what on Kafka: a payer writes its own inbox, and nothing else."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaConnectionError, TopicAuthorizationFailedError
from aiokafka.errors import KafkaError as AiokafkaError
from confluent_kafka import Consumer, KafkaError, KafkaException
from confluent_kafka import TopicPartition as Position
from confluent_kafka.admin import AdminClient

from carepact.local.errors import Refused
from carepact.local.platform import LocalPlatform
from streams.admin import Admin
from streams.connections import Connections, NoAccess
from streams.roster import Roster
from streams.topics import (
    episodes_topic,
    granted,
    inbox_topic,
    log_topic,
    outcomes_topic,
    payments_topic,
    rejects_topic,
    settlements_topic,
)

pytestmark = pytest.mark.platform


async def write(who: Connections, topic: str, *, idempotent: bool = True) -> None:
    """One record. Who may write no topic is not even given a producer's id."""
    async with AIOKafkaProducer(**who.aiokafka(), acks="all", enable_idempotence=idempotent) as producer:
        await producer.send_and_wait(topic, b"record", key=b"member")


async def test_a_payer_writes_its_own_inbox_and_nothing_else(platform: LocalPlatform, roster: Roster) -> None:
    medicare, bcbs, plan, other = roster.tenants
    for tenant in (medicare, plan):
        await write(platform.connections(tenant), inbox_topic(tenant))
    denied = [inbox_topic(bcbs), *map(log_topic, roster.names), rejects_topic(medicare), payments_topic(medicare)]
    for topic in denied:
        with pytest.raises(TopicAuthorizationFailedError):
            await write(platform.connections(medicare), topic)
    for topic in (inbox_topic(other), outcomes_topic(plan), outcomes_topic(other)):
        with pytest.raises(TopicAuthorizationFailedError):
            await write(platform.connections(plan), topic)


async def test_a_payer_reads_nothing_not_even_its_own_inbox(platform: LocalPlatform, roster: Roster) -> None:
    medicare = roster.names[0]
    await write(platform.connections(medicare), inbox_topic(medicare))
    admin = Admin(platform.connections(medicare).confluent())
    assert await asyncio.to_thread(admin.names) == {inbox_topic(medicare)}, "it learns of no other topic, so reads none"
    told = await asyncio.to_thread(first_errors, platform.connections(medicare), inbox_topic(medicare))
    assert told == {KafkaError.GROUP_AUTHORIZATION_FAILED, KafkaError.TOPIC_AUTHORIZATION_FAILED}


def first_errors(who: Connections, topic: str, group: str = "carepact-spy") -> set[int]:
    """What Kafka says to one who reads a partition; a record read is said as 0. Of another's group it says so too."""
    reader = Consumer({**who.confluent(), "group.id": group, "log_level": 0})
    try:
        reader.assign([Position(topic, 0, 0)])
        told: set[int] = set()
        while len(told) < (2 if group == "carepact-spy" else 1) and 0 not in told and (message := reader.poll(30)):
            error = message.error()
            told.add(error.code() if error else 0)
        return told
    finally:
        reader.close()


async def test_a_key_sees_the_topics_of_its_own_and_no_others(
    platform: LocalPlatform, roster: Roster, space: str
) -> None:
    """Whoever may read or write a topic learns that it is there, and nobody else does."""
    medicare, bcbs, plan, other = roster.tenants
    employers = roster.payers[-1].name
    admin = Admin(platform.connections("platform").confluent())

    async def key(role: str, payer: str, of: str = "") -> Connections:
        user = f"{space}-{role}-{of or payer}"
        await asyncio.to_thread(admin.admit, user, "a password", granted(role, payer, of))
        return replace(platform.connections("platform"), username=user, password="a password")

    def sees(who: Connections) -> set[str]:
        return Admin(who.confluent()).names()

    outputs = {
        each: {kind(each) for kind in (payments_topic, episodes_topic, settlements_topic)} for each in roster.names
    }
    expected = {
        await key("payer", medicare): {inbox_topic(medicare), *outputs[medicare]},
        await key("payer", bcbs): {inbox_topic(bcbs), *outputs[bcbs]},
        await key("payer", employers, plan): {inbox_topic(plan)},
        await key("employer", employers, plan): {outcomes_topic(plan)},
        await key("employer", employers, other): {outcomes_topic(other)},
    }
    for who, topics in expected.items():
        assert await asyncio.to_thread(sees, who) == topics, who.username
    payer, _, administrator, employer, _ = expected
    await write(payer, inbox_topic(medicare))
    await write(administrator, inbox_topic(plan))
    for topic in (outcomes_topic(plan), outcomes_topic(other), inbox_topic(plan), inbox_topic(medicare)):
        with pytest.raises(TopicAuthorizationFailedError):
            await write(employer, topic, idempotent=False)
    for topic in (inbox_topic(bcbs), payments_topic(medicare), log_topic(medicare)):
        with pytest.raises(TopicAuthorizationFailedError):
            await write(payer, topic)
    await write(platform.connections("agents"), outcomes_topic(plan))
    user = f"{space}-employer-{plan}"
    assert await asyncio.to_thread(first_errors, employer, outcomes_topic(plan), user) == {0}
    asked = await asyncio.to_thread(AdminClient(employer.confluent()).list_topics, outcomes_topic(other), 60)
    assert asked.topics[outcomes_topic(other)].error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED
    for _ in range(2):
        await asyncio.to_thread(admin.dismiss, user)
    with pytest.raises(KafkaException):
        await asyncio.to_thread(Admin(employer.confluent(), patience_seconds=5).names)


async def test_a_key_made_before_may_what_its_role_may_now_and_no_more(
    platform: LocalPlatform, roster: Roster, space: str
) -> None:
    medicare, user, other = roster.tenants[0], f"{space}-old", f"{space}-revoked"
    admin = Admin(platform.connections("platform").confluent())
    now = granted("payer", medicare, "")
    former = (*now[:2], (outcomes_topic("palmetto-manufacturing"), "read"))
    await asyncio.to_thread(admin.admit, user, "a password", former)
    old = replace(platform.connections("platform"), username=user, password="a password")
    assert episodes_topic(medicare) not in await asyncio.to_thread(Admin(old.confluent()).names)
    for changed in ((user,), ()):
        assert await asyncio.to_thread(admin.renew, {user: now, other: now}) == changed
    outputs = {kind(medicare) for kind in (payments_topic, episodes_topic, settlements_topic)}
    assert await asyncio.to_thread(Admin(old.confluent()).names) == {inbox_topic(medicare), *outputs}


@pytest.mark.parametrize("role", ["practice", "operator", "auditor", "break_glass"])
def test_other_roles_have_no_part_on_kafka(role: str) -> None:
    assert granted(role, "medicare", "") == granted(role, "employers", "palmetto-manufacturing") == ()


def test_a_name_that_begins_as_anothers_is_not_covered() -> None:
    ours = [name for name, _ in granted("payer", "bcbs", "")]
    assert not [name for name in ours if inbox_topic("bcbs-sc").startswith(name)]
    assert granted("employer", "employers", "") == ()


async def test_a_wrong_password_and_no_password_open_nothing(platform: LocalPlatform) -> None:
    known = platform.connections("agents")
    for unknown in (replace(known, password="wrong"), replace(known, username=None, password=None)):
        with pytest.raises((KafkaConnectionError, AiokafkaError)):
            await write(unknown, log_topic("medicare"))


async def test_an_operator_does_not_empty_an_inbox_and_a_payer_has_no_database(
    platform: LocalPlatform, roster: Roster
) -> None:
    medicare = roster.names[0]
    with pytest.raises(TopicAuthorizationFailedError):
        await write(platform.connections("operator"), inbox_topic(medicare))
    with pytest.raises(NoAccess):
        _ = platform.connections(medicare).postgres


async def test_a_topic_that_is_not_declared_is_never_made_by_accident(platform: LocalPlatform) -> None:
    async with AIOKafkaProducer(**platform.connections("platform").aiokafka(), request_timeout_ms=1500) as producer:
        with pytest.raises(AiokafkaError):
            await producer.send_and_wait("carepact.nobody.events.v1", b"record")
    declared = {topic.name for topic in platform.topics()}
    assert "carepact.nobody.events.v1" not in declared
    admin = Admin(platform.connections("platform").confluent())
    assert "carepact.nobody.events.v1" not in admin.names()


async def test_a_topic_that_differs_from_its_declaration_is_refused_by_name(
    platform: LocalPlatform, roster: Roster
) -> None:
    admin = Admin(platform.connections("platform").confluent())
    declared = platform.topics(roster)
    assert admin.ensure_topics(declared) == ()
    more = [topic.model_copy(update={"partitions": 8}) for topic in declared if topic.kind == "log"]
    with pytest.raises(Exception, match=r"events\.v1 differs .* partitions are 4, declared 8"):
        admin.ensure_topics(more)
    shorter = [topic.model_copy(update={"retention_ms": 1000}) for topic in declared if topic.kind == "payments"]
    with pytest.raises(Exception, match=r"payments\.v1 differs .* retention\.ms is -1, declared 1000"):
        admin.ensure_topics(shorter)
    other = LocalPlatform(settings=platform.settings.model_copy(update={"partitions": 2}))
    with pytest.raises(Refused, match="CAREPACT_PARTITIONS counts when a log is made"):
        await other.make_ready(roster)


async def test_each_log_partition_opens_with_a_record_of_its_own(platform: LocalPlatform, roster: Roster) -> None:
    ends = Admin(platform.connections("operator").confluent()).end_offsets(
        topic for topic in platform.topics(roster) if topic.kind == "log"
    )
    assert set(ends.values()) == {1}
    await platform.make_ready(roster)
    async with AIOKafkaConsumer(**platform.connections("operator").aiokafka()) as consumer:
        partitions = [TopicPartition(log_topic(roster.names[0]), number) for number in range(4)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning()
        read = [await consumer.getone(partition) for partition in partitions]
    assert {record.offset for record in read} == {0}
    assert len({record.value for record in read}) == 4

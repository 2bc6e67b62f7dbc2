"""Makes Kafka as `streams.topics` declares it: topics, users, access lists, and the first record of every log.

All of it can be run again: what is there and right is left alone, what is there and differs is refused by name.
Partitions and retention of a log are never altered, since both would move or lose members' facts.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import structlog
from confluent_kafka import (
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ConfigResource,
    NewTopic,
    OffsetSpec,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialDeletion,
    UserScramCredentialUpsertion,
)

from streams.topics import AGENTS, Topic

ASK_AGAIN_SECONDS = 0.05
SCRAM_ITERATIONS = 8192
CONTENT_TYPE = ("content-type", b"application/cloudevents+json; charset=UTF-8")
OWN_NAMES = "carepact"  # consumer groups and transactional ids of the agents begin so
PASSING = {
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.REQUEST_TIMED_OUT,
    KafkaError._TRANSPORT,
    KafkaError._TIMED_OUT,
}

Answer = TypeVar("Answer")
Opening = Callable[[str, int, str], bytes]
log = structlog.get_logger(__name__)


class TopicMismatch(Exception):
    """A topic stands otherwise than it is declared."""


class LogNotOpened(Exception):
    """The first record of a log could not be made its first record."""


class Admin:
    """The super user's hands on one cluster. Calls block; from async code use `asyncio.to_thread`."""

    def __init__(self, confluent: Mapping[str, Any], patience_seconds: float = 60) -> None:
        """`confluent` is `Connections.confluent()` of the platform's principal."""
        self._config, self._patience = dict(confluent), patience_seconds
        self._client = AdminClient({**self._config, "log_level": 0})
        self._opener: Producer | None = None

    def prepare(self, declared: Sequence[Topic], passwords: Mapping[str, str]) -> tuple[str, ...]:
        """Topics, users and access lists in one call; answers the names of the topics it made."""
        made = self.ensure_topics(declared)
        if made:
            self._producer()
        self.ensure_access(declared)
        self.ensure_users(passwords)
        return made

    def ensure_topics(self, declared: Sequence[Topic]) -> tuple[str, ...]:
        """Make the topics that are missing and hold the others against their declaration."""
        there = self._client.list_topics(timeout=self._patience).topics
        self._check([topic for topic in declared if topic.name in there], there)
        missing = [topic for topic in declared if topic.name not in there]
        if not missing:
            return ()
        asked = [NewTopic(t.name, num_partitions=t.partitions, replication_factor=-1, config=t.config) for t in missing]
        for name, answer in self._client.create_topics(asked, operation_timeout=self._patience).items():
            try:
                answer.result(self._patience)
            except KafkaException as refused:
                if refused.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise
                log.info("topic_made_by_another", topic=name)
        return tuple(topic.name for topic in missing)

    def ensure_users(self, passwords: Mapping[str, str]) -> tuple[str, ...]:
        """Make the SCRAM users that are missing; answers their names. A user's password is not changed."""
        described = self._client.describe_user_scram_credentials(list(passwords))
        missing = tuple(name for name, answer in described.items() if _unknown_user(answer, self._patience))
        scram = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, SCRAM_ITERATIONS)
        asked = [UserScramCredentialUpsertion(name, scram, passwords[name].encode()) for name in missing]
        if asked:
            for answer in self._client.alter_user_scram_credentials(asked).values():
                answer.result(self._patience)
            # A broker learns of users after it has made its topics, so the last one is tried.
            last = {"sasl.username": missing[-1], "sasl.password": passwords[missing[-1]]}
            AdminClient({**self._config, **last, "log_level": 0}).list_topics(timeout=self._patience)
        return missing

    def ensure_access(self, declared: Iterable[Topic]) -> None:
        """Allow each principal what the declaration gives it. All else is denied by the broker's setting."""
        lists = [entry for topic in declared for entry in _of_topic(topic)]
        lists += [
            _allow(AGENTS, ResourceType.GROUP, OWN_NAMES, AclOperation.READ, ResourcePatternType.PREFIXED),
            _allow(AGENTS, ResourceType.TRANSACTIONAL_ID, OWN_NAMES, AclOperation.WRITE, ResourcePatternType.PREFIXED),
        ]
        there = self._access()
        if missing := [entry for entry in lists if entry not in there]:
            for answer in self._client.create_acls(missing).values():
                answer.result(self._patience)
            _until(lambda: set(missing) <= self._access(), "the access lists are not in force", self._patience)

    def admit(self, user: str, password: str, topics: Iterable[tuple[str, str]]) -> None:
        """Make a user of its own, who may `read` or `write` topics whose names begin so, and groups named as itself."""
        lists = _of_user(user, topics)
        for answer in self._client.create_acls(lists).values():
            answer.result(self._patience)
        self.ensure_users({user: password})
        _until(lambda: set(lists) <= self._access(), "the access lists are not in force", self._patience)

    def renew(self, granted: Mapping[str, Iterable[tuple[str, str]]]) -> tuple[str, ...]:
        """Have each user that `admit` made may what is granted now, and nothing else; answers those it changed."""
        there = self._access()
        missing: set[AclBinding] = set()
        former: set[AclBinding] = set()
        for user, topics in granted.items():
            if has := {entry for entry in there if entry.principal == f"User:{user}"}:
                now = set(_of_user(user, topics))
                missing |= now - has
                former |= has - now
        if missing:
            for answer in self._client.create_acls(list(missing)).values():
                answer.result(self._patience)
        if former:
            for removed in self._client.delete_acls([_exactly(entry) for entry in former]).values():
                removed.result(self._patience)
        if missing | former:
            _until(
                lambda: missing <= (now := self._access()) and not former & now,
                "the access lists are not in force",
                self._patience,
            )
        return tuple(sorted({entry.principal.removeprefix("User:") for entry in missing | former}))

    def dismiss(self, user: str) -> None:
        """Take from a user all that it may do, and its password. Who is connected may do nothing more either."""
        of = AclBindingFilter(
            ResourceType.ANY,
            None,
            ResourcePatternType.ANY,
            f"User:{user}",
            None,
            AclOperation.ANY,
            AclPermissionType.ANY,
        )
        for answer in self._client.delete_acls([of]).values():
            answer.result(self._patience)
        (described,) = self._client.describe_user_scram_credentials([user]).values()
        if not _unknown_user(described, self._patience):
            gone = UserScramCredentialDeletion(user, ScramMechanism.SCRAM_SHA_512)
            for answer in self._client.alter_user_scram_credentials([gone]).values():
                answer.result(self._patience)

    def names(self) -> set[str]:
        """Every topic that this principal may know of."""
        return set(self._client.list_topics(timeout=self._patience).topics)

    def end_offsets(self, declared: Iterable[Topic]) -> dict[tuple[str, int], int]:
        """The end of every partition, as a `read_committed` reader sees it (the last stable offset)."""
        asked = {TopicPartition(t.name, p): OffsetSpec.latest() for t in declared for p in range(t.partitions)}

        def ends() -> dict[tuple[str, int], int]:
            answers = self._client.list_offsets(asked, isolation_level=IsolationLevel.READ_COMMITTED)
            return {(at.topic, at.partition): found.result(self._patience).offset for at, found in answers.items()}

        return _once_led(ends, self._patience)

    def committed(self, group: str, declared: Iterable[Topic]) -> dict[tuple[str, int], int]:
        """How far a consumer group has come in each partition; 0 where it never committed.

        A consumer that never joins asks: the admin client's own call ends the process (a null pointer in librdkafka)
        while the group has no coordinator, as on a new cluster.
        """
        parts = [TopicPartition(topic.name, p) for topic in declared for p in range(topic.partitions)]
        asking = Consumer({**self._config, "group.id": group, "enable.auto.commit": False, "log_level": 0})
        try:
            found = asking.committed(parts, timeout=self._patience)
        finally:
            asking.close()
        return {(at.topic, at.partition): max(0, at.offset) for at in found}

    def open_log(self, declared: Iterable[Topic], opening: Opening) -> tuple[tuple[str, int], ...]:
        """Write the first record of every log partition that has none; answers those written.

        `opening(payer, partition, log_id)` gives the record's bytes, `log_id` being random. One administrator at a
        time: were another record first, this raises and the log must be made again.
        """
        logs = {topic.name: topic for topic in declared if topic.kind == "log"}
        empty = [at for at, end in self.end_offsets(logs.values()).items() if end == 0]
        if not empty:
            return ()
        wrong: list[str] = []

        def landed(error: KafkaError | None, message: Any) -> None:
            if error is not None or message.offset() != 0:
                wrong.append(f"{message.topic()}[{message.partition()}]: {error or 'another record came first'}")

        producer = self._producer()
        for name, partition in empty:
            value = opening(logs[name].payer, partition, str(uuid.uuid4()))
            producer.produce(name, value=value, partition=partition, headers=[CONTENT_TYPE], on_delivery=landed)
        if producer.flush(self._patience) or wrong:
            raise LogNotOpened(f"could not open {'; '.join(wrong) or 'the logs: Kafka does not answer'}")
        return tuple(empty)

    def _producer(self) -> Producer:
        """Made once; by itself it asks Kafka for a number, which takes it half a second."""
        if self._opener is None:
            self._opener = Producer({**self._config, "enable.idempotence": True, "acks": "all", "log_level": 0})
        return self._opener

    def _access(self) -> set[AclBinding]:
        anything = AclBindingFilter(
            ResourceType.ANY, None, ResourcePatternType.ANY, None, None, AclOperation.ANY, AclPermissionType.ANY
        )
        return set(self._client.describe_acls(anything).result(self._patience))

    def _check(self, declared: Sequence[Topic], there: Mapping[str, Any]) -> None:
        if not declared:
            return
        asked = {ConfigResource(ConfigResource.Type.TOPIC, topic.name): topic for topic in declared}
        answers = self._client.describe_configs(list(asked))
        for resource, answer in answers.items():
            topic, found = asked[resource], answer.result(self._patience)
            differing = [
                f"{name} is {found[name].value}, declared {wanted}"
                for name, wanted in topic.config.items()
                if found[name].value != wanted
            ]
            if (count := len(there[topic.name].partitions)) != topic.partitions:
                differing.append(
                    f"partitions are {count}, declared {topic.partitions} "
                    f"(CAREPACT_PARTITIONS counts when a log is made and never changes)"
                )
            if differing:
                raise TopicMismatch(f"topic {topic.name} differs from its declaration: {'; '.join(differing)}")


def _of_topic(topic: Topic) -> list[AclBinding]:
    given = [(name, AclOperation.WRITE) for name in topic.writers]
    given += [(name, AclOperation.READ) for name in topic.readers]
    given += [(name, AclOperation.DELETE) for name in topic.trimmers]
    return [  # each of these implies DESCRIBE
        _allow(name, ResourceType.TOPIC, topic.name, may, ResourcePatternType.LITERAL) for name, may in given
    ]


def _of_user(user: str, topics: Iterable[tuple[str, str]]) -> list[AclBinding]:
    may = {"read": AclOperation.READ, "write": AclOperation.WRITE}
    lists = [_allow(user, ResourceType.TOPIC, name, may[what], ResourcePatternType.PREFIXED) for name, what in topics]
    return [*lists, _allow(user, ResourceType.GROUP, user, AclOperation.READ, ResourcePatternType.PREFIXED)]


def _exactly(entry: AclBinding) -> AclBindingFilter:
    return AclBindingFilter(
        entry.restype,
        entry.name,
        entry.resource_pattern_type,
        entry.principal,
        entry.host,
        entry.operation,
        entry.permission_type,
    )


def _allow(principal: str, kind: ResourceType, name: str, may: AclOperation, how: ResourcePatternType) -> AclBinding:
    return AclBinding(kind, name, how, f"User:{principal}", "*", may, AclPermissionType.ALLOW)


def _until(holds: Callable[[], bool], otherwise: str, patience: float) -> None:
    until = time.monotonic() + patience
    while not holds():
        if time.monotonic() > until:
            raise TimeoutError(f"Kafka: {otherwise} after {patience:g} s")
        time.sleep(ASK_AGAIN_SECONDS)


def _once_led(ask: Callable[[], Answer], patience: float) -> Answer:
    """Ask again while a leader is not chosen yet, as just after a topic is made or a broker is lost."""
    until = time.monotonic() + patience
    while True:
        try:
            return ask()
        except KafkaException as error:
            if error.args[0].code() not in PASSING or time.monotonic() > until:
                raise
        time.sleep(ASK_AGAIN_SECONDS)


def _unknown_user(answer: Any, patience: float) -> bool:
    try:
        answer.result(patience)
    except KafkaException as refused:
        if refused.args[0].code() != KafkaError.RESOURCE_NOT_FOUND:
            raise
        return True
    return False

"""What running will need of a cluster, asked beforehand; each finding names its setting."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiokafka
import pytest
from aiokafka import codec
from aiokafka.errors import KafkaError
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from bridge.agent.group import agent_group
from bridge.log.check_port import LogFinding, SupportsLogCheck
from bridge.log.embedded import EmbeddedLog
from bridge.log.kafka import KafkaLog, KafkaSettings, Security
from bridge.log.kafka.check import rights_findings, settings_findings
from bridge.log.kafka.metadata import READ, WRITE, TopicRights, missing_operations
from bridge.log.kafka.settings import MAX_BATCH_BYTES
from bridge.log.port import Entry, Log, TopicPartition, TopicSpec
from bridge.log.registry.embedded import EmbeddedRegistry
from bridge.log.registry.remembered import RememberedRegistry
from bridge.model.errors import ConfigurationError
from bridge.model.names import SCHEMA_IDS, SCHEMAS, internal_topic, replay_topic
from bridge.wiring.check.access import access_findings, access_rules
from bridge.wiring.check.result import CheckResult
from tests.conftest import PrivateKafka
from tests.log.conftest import OpenEmbedded
from tests.secret_scan import secret
from tests.services.ports import free_ports

if TYPE_CHECKING:
    from tests.services.kafka import Kafka

PASSWORD = secret("kafka-check")
PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule required"


@dataclass(frozen=True)
class Strict:
    """A broker of another cluster, with access lists and short transactions; addresses of its
    listeners, of which `far` tells clients to connect to `nobody`.
    """

    plain: str
    login: str
    far: str
    nobody: int


@pytest.fixture(scope="module")
def strict(module_kafka: PrivateKafka) -> Strict:
    login, far, nobody = free_ports(3)
    names = ("bridge", "stranger", "agents", "readers")
    logins = " ".join(f'user_{name}="{PASSWORD}"' for name in names)
    users = f"{PLAIN} {logins};"
    settings = {
        "cluster.id": "b3RoZXItY2x1c3Rlci0wMQ",
        "listeners": (
            "PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{control},"
            f"LOGIN://127.0.0.1:{login},FAR://127.0.0.1:{far}"
        ),
        "advertised.listeners": (
            f"PLAINTEXT://127.0.0.1:{{port}},LOGIN://127.0.0.1:{login},FAR://127.0.0.1:{nobody}"
        ),
        "listener.security.protocol.map": (
            "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,LOGIN:SASL_PLAINTEXT,FAR:PLAINTEXT"
        ),
        "sasl.enabled.mechanisms": "PLAIN",
        "listener.name.login.plain.sasl.jaas.config": users,
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
        "transaction.max.timeout.ms": "30000",
    }
    broker = module_kafka(settings)
    _grant(broker.bootstrap)
    return Strict(broker.bootstrap, f"127.0.0.1:{login}", f"127.0.0.1:{far}", nobody)


def _grant(bootstrap: str) -> None:
    """What `check` prints for the three roles."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    of = AclOperation
    operations = {
        "Create": of.CREATE,
        "Describe": of.DESCRIBE,
        "DescribeConfigs": of.DESCRIBE_CONFIGS,
        "Read": of.READ,
        "Write": of.WRITE,
        "Delete": of.DELETE,
    }
    kinds = {
        "topic": ResourceType.TOPIC,
        "group": ResourceType.GROUP,
        "transactional-id": ResourceType.TRANSACTIONAL_ID,
    }
    bindings = [
        AclBinding(
            kinds[rule.resource],
            rule.name,
            ResourcePatternType.LITERAL if rule.literal else ResourcePatternType.PREFIXED,
            f"User:{rule.role}",
            "*",
            operations[operation],
            AclPermissionType.ALLOW,
        )
        for rule in access_rules("acme")
        for operation in rule.operations
    ]
    for done in admin.create_acls(bindings).values():
        done.result(20)


def log_of(*servers: str, user: str = "", replication: int = 1) -> KafkaLog:
    login = {"protocol": "SASL_PLAINTEXT", "mechanism": "PLAIN", "password": PASSWORD}
    security = Security(username=user, **login) if user else Security()
    return KafkaLog(KafkaSettings(servers, security, replication=replication))


@asynccontextmanager
async def opened(log: KafkaLog) -> AsyncIterator[KafkaLog]:
    await log.open()
    try:
        yield log
    finally:
        await log.close()


def texts(findings: list[LogFinding], *, fatal: bool = True) -> str:
    return "\n".join(f"{each.text} ({each.hint})" for each in findings if each.fatal is fatal)


async def test_servers_of_two_clusters_are_told_apart(kafka: "Kafka", strict: Strict) -> None:
    """The log was split: each start took the first server that answered."""
    both = log_of(kafka.bootstrap, strict.plain)
    assert isinstance(both, SupportsLogCheck)
    findings = texts(await both.check_servers([]))
    assert "belong to 2 clusters" in findings
    assert strict.plain in findings
    assert "log.kafka.servers" in findings
    assert await log_of(kafka.bootstrap).check_servers([]) == []
    with pytest.raises(ConfigurationError, match="belong to 2 clusters"):
        await both.open()


async def test_a_server_that_does_not_answer_is_named(kafka: "Kafka") -> None:
    [nobody] = free_ports(1)
    findings = await log_of(kafka.bootstrap, f"127.0.0.1:{nobody}").check_servers([])
    assert f"127.0.0.1:{nobody} does not answer" in texts(findings, fatal=False)
    assert texts(findings) == ""


async def test_an_advertised_listener_that_cannot_be_reached_is_named(strict: Strict) -> None:
    """Opening such a log only says that no broker answers, after a long wait."""
    findings = texts(await log_of(strict.far).check_servers([]))
    assert f"directs its clients to 127.0.0.1:{strict.nobody}, which can't be reached" in findings
    assert "advertised.listeners" in findings


async def test_what_a_user_lacks_is_named_right_by_right(strict: Strict) -> None:
    async with opened(log_of(strict.plain)) as log:
        await log.create_topics([TopicSpec("acme.commands", partitions=1)])
    specs = [TopicSpec("acme.commands"), TopicSpec("acme.receipts")]
    stranger = log_of(strict.login, user="stranger")
    assert texts(await stranger.check_servers([spec.name for spec in specs])) == ""
    async with opened(stranger):
        findings = texts(await stranger.check_needs(specs, "acme"))
    assert "user stranger does not have Describe on topic acme.commands" in findings
    assert "creation of topic acme.receipts" in findings
    assert "group acme.check" in findings
    for prefix in ("acme.check", "legacy-bridge-append-check"):
        assert f"producer {prefix}" in findings
    assert PASSWORD not in findings


async def test_with_the_documented_rights_only_the_short_transactions_are_told(
    strict: Strict,
) -> None:
    async with opened(log_of(strict.plain)) as log:
        await log.create_topics([TopicSpec("acme.commands", partitions=1)])
    specs = [TopicSpec("acme.commands"), TopicSpec("acme.receipts")]
    bridge = log_of(strict.login, user="bridge")
    assert await bridge.check_servers([spec.name for spec in specs]) == []
    async with opened(bridge):
        [finding] = await bridge.check_needs(specs, "acme")
        assert "acme.receipts" not in await bridge.topics(), "nothing is made"
    assert "producer acme.check" in finding.text
    assert "transaction.max.timeout.ms" in finding.text


async def test_a_topic_that_could_not_be_created_is_named_with_the_reason(kafka: "Kafka") -> None:
    bridge = f"c{secrets.token_hex(4)}"
    async with opened(log_of(kafka.bootstrap)) as log:
        await log.create_topics([TopicSpec(f"{bridge}.erp_a.b", partitions=1)])
        specs = [TopicSpec(f"{bridge}.erp.a_b"), TopicSpec(f"{bridge}.commands")]
        await log.check_servers([spec.name for spec in specs])
        findings = texts(await log.check_needs(specs, bridge))
    assert f"creation of topic {bridge}.erp.a_b" in findings
    assert "collides" in findings
    assert f"{bridge}.commands" not in findings


async def test_a_replication_over_the_number_of_brokers_is_named(kafka: "Kafka") -> None:
    async with opened(log_of(kafka.bootstrap, replication=3)) as log:
        findings = texts(
            await log.check_needs([TopicSpec(f"x{secrets.token_hex(4)}.commands")], "x")
        )
    assert "set replication" in findings


def test_settings_of_topics_under_which_writing_or_reading_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(codec, "cramjam", None)
    rights = {"t": TopicRights((), 1)}
    good = {"max.message.bytes": str(MAX_BATCH_BYTES), "compression.type": "producer"}
    assert list(settings_findings({"t": good}, rights)) == []
    for entry, words in [
        ({"max.message.bytes": "1000"}, "max.message.bytes"),
        ({"min.insync.replicas": "2"}, "min.insync.replicas"),
        ({"compression.type": "zstd"}, "legacy-bridge[kafka]"),
    ]:
        findings = list(settings_findings({"t": {**good, **entry}}, rights))
        assert words in texts(findings)
    limited = {"cleanup.policy": "delete", "retention.bytes": "1000"}
    findings = list(settings_findings({"t": {**good, **limited}}, rights))
    assert "retention.bytes" in texts(findings, fatal=False)


def test_rights_that_many_topics_lack_are_one_finding() -> None:
    topics = {f"acme.erp.e{number}": TopicRights(("Write",), 1) for number in range(9)}
    [finding] = rights_findings(topics, "user bridge")
    assert finding.text.endswith(
        "does not have Write on topic acme.erp.e0, acme.erp.e1, acme.erp.e2 and 6 more"
    )


def test_operations_are_bits_and_none_are_told_by_brokers_without_access_lists() -> None:
    assert missing_operations(1 << READ, (READ, WRITE)) == ["Write"]
    assert missing_operations(-(2**31), (READ, WRITE)) == []


@pytest.fixture(params=["embedded", "kafka"])
async def log(request: pytest.FixtureRequest, open_embedded: OpenEmbedded) -> AsyncIterator[Log]:
    if request.param == "embedded":
        yield await open_embedded()
        return
    broker: Kafka = request.getfixturevalue("kafka")
    async with opened(log_of(broker.bootstrap)) as log:
        yield log


@pytest.mark.parametrize(
    "topic_options",
    [{"cleanup": "compact"}, {"cleanup": "delete", "retention_ms": 3_600_000}],
    ids=["compacted", "kept for an hour"],
)
async def test_schemas_are_not_trusted_to_a_topic_that_loses_them(
    log: Log, topic_options: dict[str, object]
) -> None:
    """It was made beforehand; ids hang on the first record of each schema."""
    bridge = f"c{secrets.token_hex(4)}"
    name = internal_topic(bridge, SCHEMAS)
    await log.create_topics([TopicSpec(name, partitions=1, **topic_options)])  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=rf"{name} .* schemas would vanish.*cleanup"):
        await EmbeddedRegistry(log, bridge).open()


async def test_the_memory_of_ids_is_not_trusted_to_a_topic_that_loses_it(
    open_embedded: OpenEmbedded,
) -> None:
    log: EmbeddedLog = await open_embedded()
    name = internal_topic("acme", SCHEMA_IDS)
    await log.create_topics([TopicSpec(name, partitions=1, retention_ms=1000)])
    registry = RememberedRegistry(EmbeddedRegistry(log, "acme"), log, "acme")
    with pytest.raises(ConfigurationError, match=rf"{name} .* forgotten.*compact"):
        await registry.open()


async def test_the_access_lists_that_check_prints_let_agents_send_commands_and_no_receipts(
    strict: Strict,
) -> None:
    topics = [f"acme.{name}" for name in ("commands", "receipts", "audit", "dead", "e")]
    status = TopicSpec("_acme.status", "compact", 1)
    async with opened(log_of(strict.login, user="bridge")) as bridge:
        await bridge.create_topics([*(TopicSpec(topic) for topic in topics), status])
    # As a process that runs agents does, before they join their groups and while they run.
    async with opened(log_of(strict.login, user="agents")) as agents:
        await agents.create_topics([TopicSpec(topic) for topic in topics])
        assert set(topics) <= set(await agents.topics())
        await agents.create_topics([TopicSpec(replay_topic("acme", "watch")), status])
        await agents.append(status.name, [Entry(b"work:1", b"report")])
        with pytest.raises(ConfigurationError, match="and Create where it isn't there yet"):
            await agents.create_topics([TopicSpec("acme.orders")])
    group = agent_group("acme", "watch")
    partition = aiokafka.TopicPartition("acme.e", 0)
    login: dict[str, Any] = {
        "bootstrap_servers": strict.login,
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "PLAIN",
        "sasl_plain_username": "agents",
        "sasl_plain_password": PASSWORD,
    }
    async with aiokafka.AIOKafkaConsumer("acme.e", group_id=group, **login) as member:
        assert member.assignment()
    refused = set()
    for topic in topics:
        # The broker of these tests allows short transactions only, which the log's aren't.
        producer = aiokafka.AIOKafkaProducer(
            transactional_id=f"acme.{group}.acme.e.0", transaction_timeout_ms=10_000, **login
        )
        await producer.start()
        try:
            async with producer.transaction():
                await producer.send_and_wait(topic, b"v")
                await producer.send_offsets_to_transaction({partition: 0}, group)
        except KafkaError:
            refused.add(topic)
        finally:
            await producer.stop()
    assert refused == {"acme.receipts", "acme.audit", "acme.e"}
    async with opened(log_of(strict.login, user="bridge")) as bridge:
        assert await bridge.committed(group, [TopicPartition("acme.e", 0)])
        await bridge.delete_group(group)
    async with opened(log_of(strict.login, user="readers")) as readers:
        assert await readers.end_offsets([TopicPartition("acme.commands", 0)])


async def test_check_says_whether_anybody_decides_who_may_write(
    strict: Strict, kafka: "Kafka"
) -> None:
    async def finding_of(log: KafkaLog) -> CheckResult:
        async with opened(log):
            [only] = [each async for each in access_findings("acme", log, "log")]
            return only

    open_to_all = await finding_of(log_of(kafka.bootstrap))
    assert open_to_all.severity == "warning"
    assert "has no authorizer" in open_to_all.message
    kept = await finding_of(log_of(strict.plain))
    assert kept.severity == "ok"
    assert "acme.receipts: User:bridge;" in kept.message
    assert "acme.commands: User:agents, User:bridge;" in kept.message
    unasked = await finding_of(log_of(strict.login, user="bridge"))
    assert "this user may not ask it who may write" in unasked.message
    for each in (open_to_all, kept, unasked):
        assert len(each.fix.splitlines()) == len(access_rules("acme"))
        assert (
            "--allow-principal User:agents --operation Write --topic acme.commands "
            "--resource-pattern-type literal" in each.fix
        )

"""The pure parts of the Kafka adapter: settings, topics, errors."""

import pytest
from aiokafka import errors as kafka

from bridge.log.kafka.errors import translate
from bridge.log.kafka.settings import KafkaSettings, Security, client_arguments
from bridge.log.kafka.topic_config import entries_of, spec_of
from bridge.log.port import RecordTooLarge, TopicSpec
from bridge.model.errors import ConfigurationError, Fenced, Rejected, RetryLater

DAY = 86_400_000


def test_secrets_are_not_shown() -> None:
    security = Security("SASL_SSL", "PLAIN", "bridge", "hidden", private_key_password="also")
    settings = KafkaSettings(("k:9092",), security)
    assert "hidden" not in repr(settings)
    assert "also" not in repr(settings)
    assert settings.name == "kafka://k:9092"


@pytest.mark.parametrize(
    ("servers", "security", "reason"),
    [
        ((), Security(), "name at least one"),
        (("k1",), Security(), "'k1' is not host:port"),
        (("k:9092",), Security("TLS"), "use PLAINTEXT, SSL"),
        (("k:9092",), Security("SASL_SSL", "", "u", "p"), "needs one of PLAIN"),
        (("k:9092",), Security("SASL_SSL", "PLAIN", "u"), "needs both"),
        (("k:9092",), Security("PLAINTEXT", "", "u", "p"), "use SASL_SSL"),
        (("k:9092",), Security("SSL", certificate="c.pem"), "set both or neither"),
    ],
)
def test_wrong_settings_are_named(
    servers: tuple[str, ...], security: Security, reason: str
) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        KafkaSettings(servers, security)


def test_every_wrong_setting_is_told_at_once() -> None:
    with pytest.raises(ConfigurationError, match=r"'a' is not .*'b' is not .*needs one of"):
        KafkaSettings(("a", "b"), Security("SASL_SSL"))


def test_clients_are_told_how_to_log_in() -> None:
    security = Security("SASL_PLAINTEXT", "SCRAM-SHA-512", "bridge", "secret")
    arguments = client_arguments(KafkaSettings(("k1:1", "k2:2"), security))
    assert arguments["bootstrap_servers"] == ["k1:1", "k2:2"]
    assert arguments["sasl_mechanism"] == "SCRAM-SHA-512"
    assert (arguments["sasl_plain_username"], arguments["sasl_plain_password"]) == (
        "bridge",
        "secret",
    )


@pytest.mark.parametrize(
    "spec",
    [
        TopicSpec("t", "compact", 3, history_ms=30 * DAY),
        TopicSpec("t", "compact", 3),
        TopicSpec("t", "delete", 3),
        TopicSpec("t", "delete", 3, retention_ms=7 * DAY),
    ],
)
def test_a_topic_reads_back_as_it_was_asked_for(spec: TopicSpec) -> None:
    assert spec_of("t", 3, entries_of(spec, 2)) == spec


def test_a_compacted_topic_keeps_its_history_and_as_long_its_tombstones() -> None:
    entries = entries_of(TopicSpec("t", "compact", history_ms=30 * DAY), 2)
    assert entries["min.compaction.lag.ms"] == entries["delete.retention.ms"] == str(30 * DAY)
    assert entries["min.insync.replicas"] == "2"
    assert "min.insync.replicas" not in entries_of(TopicSpec("t"), None)


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        (kafka.ProducerFenced(), Fenced),
        (kafka.InvalidProducerEpoch(), Fenced),
        (kafka.SaslAuthenticationFailed("no"), ConfigurationError),
        (kafka.TopicAuthorizationFailedError("t"), ConfigurationError),
        (kafka.MessageSizeTooLargeError(), RecordTooLarge),
        (kafka.InvalidTimestampError(), Rejected),
        (kafka.NotEnoughReplicasError(), RetryLater),
        (kafka.KafkaConnectionError("gone"), RetryLater),
    ],
)
def test_errors_say_what_to_do(error: Exception, wanted: type[Exception]) -> None:
    translated = translate(error, "append to t")
    assert type(translated) is wanted
    assert str(translated).startswith("append to t: ")


def test_an_error_that_aiokafka_wrapped_is_told_by_its_cause() -> None:
    wrapped = kafka.KafkaError("Unexpected error during batch delivery")
    wrapped.__cause__ = kafka.ProducerFenced()
    assert isinstance(translate(wrapped, "commit"), Fenced)

"""Kafka's errors by what the caller should do."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from aiokafka import errors as kafka

from bridge.log.kafka.settings import MAX_BATCH_BYTES
from bridge.log.port import RecordTooLarge
from bridge.model.errors import BridgeError, ConfigurationError, Fenced, Rejected, RetryLater

FENCED = (kafka.ProducerFenced, kafka.InvalidProducerEpoch)
MISCONFIGURED = (
    kafka.AuthenticationFailedError,
    kafka.AuthenticationMethodNotSupported,
    kafka.SaslAuthenticationFailed,
    kafka.UnsupportedSaslMechanismError,
    kafka.IllegalSaslStateError,
    kafka.TopicAuthorizationFailedError,
    kafka.GroupAuthorizationFailedError,
    kafka.ClusterAuthorizationFailedError,
    kafka.TransactionalIdAuthorizationFailed,
    kafka.InvalidSessionTimeoutError,
    kafka.InconsistentGroupProtocolError,
    kafka.InvalidGroupIdError,
    kafka.InvalidTransactionTimeout,
    kafka.InvalidTopicError,
    kafka.InvalidConfigurationError,
    kafka.InvalidPartitionsError,
    kafka.InvalidReplicationFactorError,
    kafka.PolicyViolationError,
    kafka.UnknownTopicOrPartitionError,
    kafka.UnsupportedVersionError,
    kafka.IncompatibleBrokerVersion,
    kafka.UnsupportedCodecError,
    ssl.SSLCertVerificationError,
)
TOO_LARGE = (kafka.MessageSizeTooLargeError, kafka.RecordListTooLargeError)

HINTS: dict[type[BaseException], str] = {
    kafka.SaslAuthenticationFailed: "check security.username and security.password",
    kafka.AuthenticationFailedError: "check security.username and security.password",
    kafka.UnsupportedSaslMechanismError: "check security.mechanism",
    kafka.TopicAuthorizationFailedError: (
        "grant the user Describe, DescribeConfigs, Read and Write on the topic, and Create where it "
        "isn't there yet, or start a process first whose user may create it"
    ),
    kafka.GroupAuthorizationFailedError: "grant the user Describe and Read on the group, and Delete where it is to be deleted",
    kafka.TransactionalIdAuthorizationFailed: (
        "grant the user Describe and Write on its transactional ids"
    ),
    kafka.InvalidSessionTimeoutError: (
        "the session is outside of the broker's group.min.session.timeout.ms and "
        "group.max.session.timeout.ms"
    ),
    kafka.InvalidReplicationFactorError: "set replication to at most the number of brokers",
    kafka.UnsupportedCodecError: (
        "records of the topic are compressed, and what reads them is missing: pip install "
        "'legacy-bridge[kafka]', or set the topic's compression.type to gzip or uncompressed"
    ),
    kafka.InvalidTransactionTimeout: "raise the broker's transaction.max.timeout.ms",
    **dict.fromkeys(
        TOO_LARGE,
        f"set the topic's max.message.bytes to {MAX_BATCH_BYTES} or more: a batch of records has that size",
    ),
    ssl.SSLCertVerificationError: "check security.ca and the name in the server's certificate",
}


def reason(error: BaseException) -> str:
    """One line: Kafka's message, and what may help."""
    text = " ".join(str(error).split()) or type(error).__name__
    hint = next((text for kind, text in HINTS.items() if isinstance(error, kind)), "")
    return f"{text} ({hint})" if hint else text


def translate(error: BaseException, doing: str) -> BridgeError:
    """The bridge's error for one of aiokafka's; `doing`: what was being done."""
    if isinstance(error, BridgeError):
        return error
    # aiokafka wraps the error that ended its background task: the cause says more.
    if type(error) is kafka.KafkaError and error.__cause__ is not None:
        return translate(error.__cause__, doing)
    message = f"{doing}: {reason(error)}"
    if isinstance(error, FENCED):
        return Fenced(f"{doing}: another instance has taken over")
    if isinstance(error, TOO_LARGE):
        return RecordTooLarge(message)
    if isinstance(error, kafka.InvalidTimestampError):
        return Rejected("invalid_timestamp", message)
    if isinstance(error, MISCONFIGURED):
        return ConfigurationError(message)
    return RetryLater(message)


@contextmanager
def translated_errors(doing: str) -> Iterator[None]:
    """Raise the bridge's errors instead of aiokafka's, with what was being done."""
    try:
        yield
    except BridgeError:
        raise
    except TimeoutError as error:
        raise RetryLater(f"{doing}: no answer in time") from error
    except (kafka.KafkaError, kafka.IllegalOperation, OSError) as error:
        raise translate(error, doing) from error

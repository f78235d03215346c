"""Apache Kafka through aiokafka: for production, and for more than one machine."""

import logging

from bridge.log.kafka.connection_warnings import first_of_each_connection_warning
from bridge.log.kafka.log import KafkaLog
from bridge.log.kafka.settings import KafkaSettings, Security

# aiokafka's log records duplicate the errors raised here; they are shown only at a lower level.
logging.getLogger("aiokafka").addHandler(logging.NullHandler())
logging.getLogger("aiokafka.conn").addFilter(first_of_each_connection_warning())

__all__ = ["KafkaLog", "KafkaSettings", "Security", "from_url"]


def from_url(url: str, timeout: float = 30.0) -> KafkaLog:
    """The log at `kafka://k1:9092,k2:9092`, without security."""
    servers = url.removeprefix("kafka://").partition("?")[0].rstrip("/")
    return KafkaLog(KafkaSettings(tuple(servers.split(",")), timeout=timeout))

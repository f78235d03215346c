"""A warning that stands for the configuration is one line, not one a connection."""

import inspect
import logging

import aiokafka.conn
import pytest

from bridge.log.kafka.connection_warnings import (
    AT_EVERY_CONNECTION,
    first_of_each_connection_warning,
)


def test_what_is_warned_of_at_every_connection_is_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Agents on six partitions wrote it dozens of times in minutes."""
    logger = logging.getLogger("tests.connections")
    logger.addFilter(first_of_each_connection_warning())
    for port in range(5):
        logger.warning("Sending username and password in the clear")
        logger.error("Connection at port %s is gone", port)
    assert len(caplog.messages) == 1 + 5
    assert caplog.messages[0].startswith("Sending")


def test_the_words_are_aiokafkas_and_its_logger_has_the_filter() -> None:
    source = inspect.getsource(aiokafka.conn)
    assert all(f'"{message}"' in source for message in AT_EVERY_CONNECTION)
    assert aiokafka.conn.log.name == "aiokafka.conn"
    [filter_] = aiokafka.conn.log.filters
    assert getattr(filter_, "__module__", "") == first_of_each_connection_warning.__module__

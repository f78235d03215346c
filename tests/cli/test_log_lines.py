"""The log of `bridgectl run`: what is a line, at which level, and what stands in it."""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from bridge.cli.log_output.notice_lines import line_logger, notice_logger
from bridge.cli.log_output.printed_lines import printing_into
from bridge.cli.log_output.python_logging import LineHandler, logging_into
from bridge.cli.log_output.retry_lines import RetryLines
from bridge.model.redaction import register_secret
from bridge.observe import (
    CommandMoved,
    DeadLetterWritten,
    HandlerFailed,
    Notice,
    PartState,
    SourceState,
    Throttled,
)

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Lines:
    return lambda: [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_an_outage_is_a_few_lines_whatever_retries(lines: Lines) -> None:
    observe = notice_logger(as_json=True)
    for _ in range(21):
        observe(SourceState("erp", "starting"))
        observe(SourceState("erp", "retrying", "no server answers"))
        observe(PartState("reads", "erp", "retrying", "no server answers"))
        observe(PartState("agent", "watch", "retrying", "handler check waits"))
    observe(SourceState("erp", "starting"))
    observe(SourceState("erp", "streaming"))
    observe(PartState("reads", "erp", "running"))
    observe(PartState("agent", "watch", "running"))
    log_lines = lines()
    source = [line for line in log_lines if line["event"] == "source state"]
    assert [line["state"] for line in source] == ["starting", "retrying", "streaming"]
    assert source[-1]["tries"] == 21
    assert len(log_lines) == 7


def test_every_try_is_a_line_for_those_who_ask(lines: Lines) -> None:
    observe = notice_logger(as_json=True, level=logging.DEBUG)
    for _ in range(5):
        observe(PartState("agent", "watch", "retrying", "away"))
    assert len(lines()) == 5


def test_a_part_that_gives_up_while_it_retries_says_so() -> None:
    retries = RetryLines()
    retries.facts(PartState("agent", "watch", "retrying", "away"))
    assert retries.facts(PartState("agent", "watch", "failed", "fix it")) == {}
    assert retries.facts(Throttled("erp", 30, "busy")) == {}
    assert retries.facts(Throttled("erp", 29, "busy")) is None


def test_a_command_is_one_line_with_what_became_of_it(lines: Lines) -> None:
    observe = notice_logger(as_json=True)
    for state in ("received", "validated", "approved", "executing"):
        observe(CommandMoved("w:1", "erp.block", state))
    reason = "there is no row"
    observe(CommandMoved("w:1", "erp.block", "failed", "not_found", False, '{"no":"7"}', reason))
    observe(CommandMoved("w:2", "erp.block", "received", key='{"no":"8"}'))
    observe(CommandMoved("w:2", "erp.block", "succeeded", key='{"no":"8"}'))
    failed, succeeded = lines()
    assert (failed["level"], failed["code"], failed["reason"]) == ("warning", "not_found", reason)
    assert (failed["key"], failed["name"], failed["command_id"]) == (
        '{"no":"7"}',
        "erp.block",
        "w:1",
    )
    assert (succeeded["level"], succeeded["state"]) == ("info", "succeeded")


def test_a_dead_letter_line_has_row_handler_and_what_to_type_next(lines: Lines) -> None:
    letter = DeadLetterWritten(
        "event", "watch", "ValueError: no", "check", "erp.order", "4711", "erp:1"
    )
    notice_logger(as_json=True)(letter)
    [line] = lines()
    assert (line["handler"], line["entity"], line["key"]) == ("check", "erp.order", "4711")


def test_a_handler_that_fails_is_told_at_once_and_not_for_each_event(lines: Lines) -> None:
    observe = notice_logger(as_json=True)
    for number in range(100):
        reason = f"ValueError: order {number}"
        observe(HandlerFailed("w", "h", "erp.o", "1", f"erp:{number}", 1, 8, 1.0, reason, "trace"))
    [line] = lines()
    assert (line["level"], line["traceback"], line["wait"]) == ("warning", "trace", 1.0)
    observe(HandlerFailed("w", "h", "erp.o", "1", "erp:1", 8, 8, None, "ValueError: x", "trace"))
    assert [line["level"] for line in lines()] == ["error"]


def test_a_traceback_is_on_lines_of_its_own_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    notice = HandlerFailed(
        "w", "h", "erp.o", "1", "erp:1", 8, 8, None, "E: x", "  File a\n    b\nE"
    )
    notice_logger(as_json=False)(notice)
    err = capsys.readouterr().err
    assert "  File a\n    b\nE" in err
    assert "\\n" not in err


def log_some(name: str) -> None:
    logger = logging.getLogger(name)
    logger.debug("fine")
    logger.info("order %s is fine", 7, extra={"order": 7, "event": "mine"})
    logger.warning("order 8 is odd")
    try:
        int("broken")
    except ValueError:
        logger.exception("it broke")


@pytest.mark.parametrize(
    ("level", "count"), [(logging.DEBUG, 4), (logging.INFO, 3), (logging.WARNING, 2)]
)
def test_what_agents_log_is_lines_of_the_bridges_log(lines: Lines, level: int, count: int) -> None:
    with logging_into(line_logger(as_json=True, level=level), level):
        log_some("bridge.agent.watch")
    log_some("bridge.agent.watch")
    log_lines = [line for line in lines() if "level" in line]
    assert len(log_lines) == count
    broken = log_lines[-1]
    assert "in log_some" in broken["traceback"]
    assert broken["traceback"].splitlines()[-1].startswith("ValueError: invalid literal")
    if count > 2:
        assert log_lines[-3]["event"] == "order 7 is fine"
        assert (log_lines[-3]["order"], log_lines[-3]["event_"]) == (7, "mine")


def test_a_message_whose_arguments_do_not_fit_is_a_line_all_the_same(lines: Lines) -> None:
    record = logging.makeLogRecord({"msg": "order %d", "args": ("x",), "levelno": logging.ERROR})
    LineHandler(line_logger(as_json=True)).emit(record)
    [line] = lines()
    assert "its arguments don't fit" in line["event"]


@pytest.mark.parametrize(
    ("level", "name"), [(25, "info"), (99, "critical"), (1, "debug"), (-7, "debug")]
)
def test_a_level_of_ones_own_is_the_nearest_that_has_a_name(
    lines: Lines, level: int, name: str
) -> None:
    handler = LineHandler(line_logger(as_json=True, level=logging.DEBUG))
    handler.emit(logging.makeLogRecord({"msg": "here", "levelno": level}))
    assert [line["level"] for line in lines()] == [name]


def test_libraries_are_heard_from_warnings_on_as_lines_too(lines: Lines) -> None:
    with logging_into(line_logger(as_json=True), logging.INFO):
        log_some("some.library")
    log_lines = lines()
    assert [line["level"] for line in log_lines] == ["warning", "error"]
    assert {line["logger"] for line in log_lines} == {"some.library"}


def test_a_line_that_can_not_be_written_ends_nobody() -> None:
    class Gone:
        def log(self, *_: object, **__: object) -> None:
            raise BrokenPipeError

    notices: list[Notice] = []
    with logging_into(Gone(), logging.INFO), printing_into(Gone()):
        log_some("bridge.agent.watch")
        sys.stdout.write("printed\n")
        notices.append(PartState("agent", "watch", "running"))
    assert notices


def test_what_is_printed_is_lines_too(lines: Lines) -> None:
    """A collector reads both streams of a container, and wants every line as JSON."""
    with printing_into(line_logger(as_json=True)):
        print("order", 7, "is fine")  # noqa: T201
        print("odd\n\norder 8 ", file=sys.stderr)  # noqa: T201
        others = [threading.Thread(target=print, args=("thread", number)) for number in range(8)]
        for other in others:
            other.start()
        for other in others:
            other.join()
        sys.stdout.write("x" * 20_001)
        print("without an end", end="")  # noqa: T201
    print('{"event": "after"}', file=sys.stderr)  # noqa: T201
    written = [(line["event"], line.get("level"), line.get("logger")) for line in lines()]
    assert ("order 7 is fine", "info", "stdout") in written
    assert ("odd", "warning", "stderr") in written
    assert ("order 8 ", "warning", "stderr") in written
    assert {f"thread {number}" for number in range(8)} <= {event for event, *_ in written}
    assert written[-2][0] == "without an end"
    assert written[-1] == ("after", None, None)
    assert len(written) == 14


def test_a_secret_that_is_printed_is_no_secret_in_the_log(lines: Lines) -> None:
    register_secret("s3cret-of-a-print")
    with printing_into(line_logger(as_json=True)):
        print("login s3cret-of-a-print")  # noqa: T201
    assert "s3cret" not in str(lines())


def test_what_ends_a_thread_or_is_raised_where_nobody_hears_is_a_line(lines: Lines) -> None:
    class Closing:
        def __del__(self) -> None:
            raise ValueError("can't close")

    with logging_into(line_logger(as_json=True), logging.INFO):
        thread = threading.Thread(target=int, args=("broken",), name="poller")
        thread.start()
        thread.join()
        quiet = threading.Thread(target=sys.exit)
        quiet.start()
        quiet.join()
        Closing()
    failed, ignored = lines()
    assert (failed["level"], failed["logger"]) == ("error", "threading")
    assert failed["event"].startswith("thread poller failed: ValueError")
    assert "Closing.__del__: ValueError: can't close" in ignored["event"]
    assert "in __del__" in ignored["traceback"]


def test_a_server_that_is_away_is_few_lines_of_its_client(lines: Lines) -> None:
    """Kafka's client wrote 14,000 lines in half a minute, and nobody saw the one that counts."""

    def try_often() -> None:
        for number in range(1000):
            logging.getLogger("aiokafka").error("Unable connect to node with id %s", number)
            logging.getLogger("aiokafka").error("Unable to update metadata from %s", [number])
            logging.getLogger("some.library").warning("order %s is odd", number)

    with logging_into(line_logger(as_json=True), logging.INFO):
        try_often()
    log_lines = [line["logger"] for line in lines()]
    assert log_lines.count("aiokafka") == 2
    assert log_lines.count("some.library") == 1000, "what others log says each time something new"
    with logging_into(line_logger(as_json=True, level=logging.DEBUG), logging.DEBUG):
        try_often()
    assert [line["logger"] for line in lines()].count("aiokafka") == 2000

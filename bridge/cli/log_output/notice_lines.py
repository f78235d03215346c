"""Notices of the core as log lines, through structlog."""

from __future__ import annotations

import logging
import os
import re
import sys
from dataclasses import asdict
from typing import Any

import structlog
from structlog.typing import EventDict

from bridge.cli.log_output.retry_lines import RetryLines
from bridge.cli.output.safe_text import safe_facts
from bridge.config.problems import ConfigProblems
from bridge.gateway.audit.verdict import WRONG
from bridge.model.errors import BridgeError
from bridge.model.receipt import State
from bridge.model.redaction import redact
from bridge.observe import (
    AnswerAudited,
    BreakerMoved,
    Captured,
    CaptureRemark,
    CommandMoved,
    CommandsHeld,
    Confirmed,
    DeadLetterWritten,
    DeletesWithheld,
    EntityPaused,
    GroupJoined,
    GroupMoved,
    Handled,
    HandlerBlocks,
    HandlerFailed,
    HandlerWaits,
    Notice,
    Observer,
    PartState,
    ReadQueued,
    ReadRefused,
    RecordDistrusted,
    RowsRead,
    SourceState,
    Throttled,
    WorkReported,
)

#: Frequent notices are only logged at debug level.
_OFTEN = (
    Captured,
    Handled,
    HandlerWaits,
    ReadQueued,
    ReadRefused,
    RowsRead,
    Confirmed,
    GroupJoined,
    WorkReported,
)
_WARN = (
    CaptureRemark,
    DeadLetterWritten,
    DeletesWithheld,
    EntityPaused,
    GroupMoved,
    HandlerBlocks,
    HandlerFailed,
    RecordDistrusted,
    Throttled,
)
_WARN_STATES = frozenset({"retrying", "failed", "unavailable"})
_COMMAND_ENDS = frozenset({State.SUCCEEDED, State.CANCELLED, State.AWAITING_APPROVAL})
_COMMAND_FAULTS = frozenset({State.FAILED, State.REJECTED, State.EXPIRED, State.UNKNOWN})


def notice_logger(*, as_json: bool, level: int = logging.INFO) -> Observer:
    """An observer that writes lines to stderr: one per notice, but few for repeated failures."""
    log = line_logger(as_json=as_json, level=level)
    retries = RetryLines()

    def observe(notice: Notice) -> None:
        weight = _weight(notice)
        if weight == logging.DEBUG and level > logging.DEBUG:
            return  # before its facts are collected: there is one for each handled event
        added = retries.facts(notice)
        if added is None:
            weight, added = logging.DEBUG, {}
        if weight >= level:
            log.log(weight, _words(notice), **_facts(notice), **added)

    return observe


def _facts(notice: Notice) -> dict[str, Any]:
    return {name: value for name, value in asdict(notice).items() if value not in ("", None)}


def log_refusal(error: BridgeError) -> None:
    """Log the errors that prevent a bridge from starting, as JSON lines: one per problem."""
    log = line_logger(as_json=True)
    if isinstance(error, ConfigProblems):
        for problem in error.problems:
            log.error(
                "configuration",
                file=problem.file,
                line=problem.line,
                key=problem.where,
                message=problem.what,
                hint=problem.hint,
            )
    else:
        log.error("refused", reason=str(error))


def line_logger(*, as_json: bool, level: int = logging.INFO) -> Any:
    """A logger that writes lines to stderr; thread-safe."""
    render = (
        structlog.processors.JSONRenderer()
        if as_json
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty() and not os.environ.get("NO_COLOR")
        )
    )
    return structlog.wrap_logger(
        structlog.PrintLogger(sys.stderr),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *([] if as_json else [_sentence, safe_facts]),
            render,
            _redacted,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
    )


def _weight(notice: Notice) -> int:
    """The log level of a notice. Pure."""
    if isinstance(notice, _OFTEN):
        return logging.DEBUG  # first: there is one for each event
    state, reason = getattr(notice, "state", ""), getattr(notice, "reason", "")
    if isinstance(notice, CommandMoved):
        return _command_weight(notice)
    if isinstance(notice, AnswerAudited):
        return logging.ERROR if notice.verdict in WRONG else logging.DEBUG
    if isinstance(notice, BreakerMoved):
        return logging.WARNING if notice.state == "open" else logging.INFO
    if isinstance(notice, CommandsHeld):
        return logging.WARNING if notice.state == "held" else logging.INFO
    if isinstance(notice, SourceState) and state == "stopped" and reason:
        return logging.DEBUG  # the part that ends because of it reports the same reason at once
    if isinstance(notice, PartState) and state == "opened":
        return logging.DEBUG
    if isinstance(notice, GroupMoved) and not notice.missing:
        return logging.INFO  # so does every agent that is new
    if isinstance(notice, PartState) and state == "failed":
        return logging.ERROR
    if isinstance(notice, HandlerFailed) and notice.wait is None:
        return logging.ERROR
    if isinstance(notice, _WARN) or state in _WARN_STATES or (state == "stopped" and reason):
        return logging.WARNING
    return logging.INFO


def _command_weight(notice: CommandMoved) -> int:
    """One line per command for its end; earlier transitions are debug lines."""
    if notice.state in _COMMAND_ENDS:
        return logging.INFO
    return logging.WARNING if notice.state in _COMMAND_FAULTS else logging.DEBUG


def _sentence(_logger: object, _method: str, facts: EventDict) -> EventDict:
    """Append the reason unchanged to the event, because as one of the facts its quotes would be
    escaped; a traceback is appended on its own lines.
    """
    if "reason" in facts:
        facts["event"] = f"{facts['event']}: {facts.pop('reason')}"
    if "traceback" in facts:
        facts["exception"] = facts.pop("traceback")
    return facts


def _redacted(_logger: object, _method: str, line: Any) -> str:
    """Remove secrets from the rendered line, including texts from other code."""
    return redact(line)


def _words(notice: Notice) -> str:
    """`SourceState` as `source state`."""
    return re.sub(r"(?<!^)(?=[A-Z])", " ", type(notice).__name__).lower()

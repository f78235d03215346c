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

from bridge.config.problems import ConfigProblems
from bridge.model.errors import BridgeError
from bridge.observe import (
    Captured,
    Confirmed,
    DeadLetter,
    DeletesWithheld,
    EntityPaused,
    GroupJoined,
    GroupMoved,
    Handled,
    HandlerBlocks,
    HeldBack,
    Notice,
    Observer,
    PartState,
    Read,
    SourceState,
    WorkReported,
)

#: What happens all the time is told only to those who ask for it.
_OFTEN = (Captured, Handled, Read, Confirmed, GroupJoined, WorkReported)
_WARN = (DeadLetter, DeletesWithheld, EntityPaused, GroupMoved, HandlerBlocks, HeldBack)
_WARN_STATES = frozenset({"retrying", "failed", "unknown", "troubled"})


def log_lines(*, as_json: bool, verbose: bool) -> Observer:
    """An observer that writes one line a notice to stderr."""
    log = _logger(as_json=as_json, verbose=verbose)

    def observe(notice: Notice) -> None:
        weight = _weight(notice)
        if weight == "debug" and not verbose:
            return  # before its facts are gathered: there is one for each event that is handled
        facts = {name: value for name, value in asdict(notice).items() if value not in ("", None)}
        getattr(log, weight)(_words(notice), **facts)

    return observe


def refused(error: BridgeError) -> None:
    """What keeps a bridge from beginning, as lines of the log in JSON: one a problem."""
    log = _logger(as_json=True, verbose=False)
    if isinstance(error, ConfigProblems):
        for problem in error.problems:
            log.error("configuration", **asdict(problem))
    else:
        log.error("refused", reason=str(error))


def _logger(*, as_json: bool, verbose: bool) -> Any:
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
            *([] if as_json else [_sentence]),
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.DEBUG if verbose else logging.INFO
        ),
    )


def _weight(notice: Notice) -> str:
    """The level that a notice is told at. Pure."""
    state, reason = getattr(notice, "state", ""), getattr(notice, "reason", "")
    if isinstance(notice, SourceState) and state == "stopped" and reason:
        return "debug"  # the part that ends for it says so at once, with the same reason
    if isinstance(notice, PartState) and state == "opened":
        return "debug"
    if isinstance(notice, GroupMoved) and not notice.missing:
        return "info"  # so does every agent that is new
    if isinstance(notice, PartState) and state == "failed":
        return "error"
    if isinstance(notice, _WARN) or state in _WARN_STATES or (state == "stopped" and reason):
        return "warning"
    return "debug" if isinstance(notice, _OFTEN) else "info"


def _sentence(_logger: object, _method: str, facts: EventDict) -> EventDict:
    """The reason as it is, behind the event; as one of the facts its quotes would be escaped."""
    if "reason" in facts:
        facts["event"] = f"{facts['event']}: {facts.pop('reason')}"
    return facts


def _words(notice: Notice) -> str:
    """`SourceState` as `source state`."""
    return re.sub(r"(?<!^)(?=[A-Z])", " ", type(notice).__name__).lower()

"""Notices of the core as log lines, through structlog."""

from __future__ import annotations

import logging
import re
import sys
from dataclasses import asdict

import structlog
from structlog.typing import EventDict

from bridge.observe import (
    Captured,
    Confirmed,
    DeadLetter,
    EntityPaused,
    Handled,
    HeldBack,
    Notice,
    Observer,
    Read,
)

#: What happens all the time is told only to those who ask for it.
_OFTEN = (Captured, Handled, Read, Confirmed)
_WARN = (DeadLetter, EntityPaused, HeldBack)
_WARN_STATES = frozenset({"retrying", "failed", "unknown", "troubled"})


def log_lines(*, as_json: bool, verbose: bool) -> Observer:
    """An observer that writes one line a notice to stderr."""
    render = (
        structlog.processors.JSONRenderer()
        if as_json
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    log = structlog.wrap_logger(
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

    def observe(notice: Notice) -> None:
        facts = {name: value for name, value in asdict(notice).items() if value not in ("", None)}
        state = facts.get("state")
        gave_up = state == "stopped" and "reason" in facts
        warn = isinstance(notice, _WARN) or state in _WARN_STATES or gave_up
        if warn:
            log.warning(_words(notice), **facts)
        elif isinstance(notice, _OFTEN):
            log.debug(_words(notice), **facts)
        else:
            log.info(_words(notice), **facts)

    return observe


def _sentence(_logger: object, _method: str, facts: EventDict) -> EventDict:
    """The reason as it is, behind the event; as one of the facts its quotes would be escaped."""
    if "reason" in facts:
        facts["event"] = f"{facts['event']}: {facts.pop('reason')}"
    return facts


def _words(notice: Notice) -> str:
    """`SourceState` as `source state`."""
    return re.sub(r"(?<!^)(?=[A-Z])", " ", type(notice).__name__).lower()

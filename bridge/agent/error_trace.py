"""A short traceback for people: the frames of the user's own code, and the error. No values of
variables, and never longer than a log record may be.
"""

from __future__ import annotations

import linecache
import os
import sysconfig
import traceback
from pathlib import Path
from types import TracebackType

from bridge.model.error_text import clean_text, describe_error
from bridge.model.redaction import redact

MAX_TRACE_CHARACTERS = 4000
MAX_FRAMES = 12
MAX_CAUSES = 4
MAX_LINE_CHARACTERS = 160
_ROOT = Path(__file__).parents[2]
_BRIDGE = tuple(f"{_ROOT / name}{os.sep}" for name in ("bridge", "connectors"))
_LIBRARIES = tuple(
    f"{sysconfig.get_paths()[name]}{os.sep}" for name in ("stdlib", "platstdlib", "purelib")
)


def error_trace(error: BaseException, limit: int = MAX_TRACE_CHARACTERS) -> str:
    """The error and its causes, oldest first, each with its frames; cut at the start to at most
    `limit` characters, because the end matters most. Never raises, whatever the error is.
    """
    try:
        text = "\n".join(_lines(error))
    except Exception as failure:  # noqa: BLE001 - the error is anybody's, and so are its causes
        return clean_text(f"(no traceback: {describe_error(failure)})", limit)
    text = redact(text)
    if len(text) > limit:
        text = f"…{text[1 - limit :]}"
    return clean_text(text, limit)


def handler_trace(error: BaseException) -> str:
    """The same, to accompany the error's own message: empty if it adds nothing to that."""
    trace = error_trace(error)
    return "" if trace == describe_error(error) else trace


def _lines(error: BaseException) -> list[str]:
    chain = _causes(error)
    lines: list[str] = []
    has_own_code = any(_own_code(each.__traceback__) for each in chain)
    for each in reversed(chain):
        # Causes inside a library get their message only, if a line of the user's own code is known.
        if not has_own_code or _own_code(each.__traceback__):
            lines += _frames(each.__traceback__)
        lines.append(describe_error(each))
        if isinstance(each, BaseExceptionGroup):
            for inner in each.exceptions[:MAX_CAUSES]:
                lines += [f"  in it: {describe_error(inner, 300)}"]
                lines += [f"  {line}" for line in _frames(inner.__traceback__)]
    return lines


def _causes(error: BaseException) -> list[BaseException]:
    """The error, then the errors it was raised from or while handling; each once."""
    chain: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in chain and len(chain) < MAX_CAUSES:
        chain.append(current)
        if current.__cause__ is not None:
            current = current.__cause__
        else:
            current = None if current.__suppress_context__ else current.__context__
    return chain


def _own_code(trace: TracebackType | None) -> bool:
    """Whether any frame is in neither the bridge's nor a library's code."""
    files = [frame.f_code.co_filename for frame, _ in traceback.walk_tb(trace)]
    return any(not file.startswith((*_BRIDGE, *_LIBRARIES, "<")) for file in files)


def _frames(trace: TracebackType | None) -> list[str]:
    places = [
        (frame.f_code.co_filename, line, frame.f_code.co_name)
        for frame, line in traceback.walk_tb(trace)
    ]
    own = [
        frame_summary
        for frame_summary in places
        if not frame_summary[0].startswith((*_BRIDGE, "<"))
    ]
    # An agent that is installed as a package is itself among the libraries.
    users = [
        frame_summary for frame_summary in own if not frame_summary[0].startswith(_LIBRARIES)
    ] or own
    if own and own[-1] != users[-1]:
        # Raised in a library: the place in it adds what the user's own line does not show.
        users.append(own[-1])
    return [_frame_text(*frame_summary) for frame_summary in users[-MAX_FRAMES:]]


def _frame_text(file: str, line: int, function: str) -> str:
    source = linecache.getline(file, line).strip()
    source_text = f"\n    {source[:MAX_LINE_CHARACTERS]}" if source else ""
    return f'  File "{file}", line {line}, in {function}{source_text}'

"""Markers of tests, by what their fixtures start: a kind of server, or other processes.

A test that starts neither is marked `unit`, and `tests/process_guard.py` holds it to that. Where a
fixture starts a server by itself instead of by a fixture of `tests/conftest.py`, or takes one by
`getfixturevalue` under a parameter that isn't the fixture's name, the module or the parameter has
the marker.
"""

from __future__ import annotations

from types import FunctionType
from typing import Final

import pytest

from tests import waiting

SERVERS: Final = frozenset({"postgres", "kafka", "registry", "cap", "odatapy", "tryton"})
"""Markers of real servers."""
PROCESS: Final = "process"
"""Marker of tests that start other processes, by the fixture `processes`."""
UNIT: Final = "unit"
WAITS: Final = "waits"
"""Marker of tests whose file waits by `tests/waiting.py` for what happens elsewhere."""

STARTED_BY: Final = {
    "postgres": ("postgres",),
    "private_postgres": ("postgres",),
    "local_postgres": ("postgres",),
    "standby_of": ("postgres",),
    "kafka": ("kafka",),
    "private_kafka": ("kafka",),
    "module_kafka": ("kafka",),
    "registry": ("registry",),
    "private_registry": ("registry",),
    "spare_caps": ("cap",),
    "cap_server": ("cap",),
    "odatapy_server": ("odatapy",),
    "tryton_server": ("tryton",),
    "tryton_on_postgres_server": ("tryton", "postgres"),
    "private_tryton": ("tryton", "postgres"),
    "processes": (PROCESS,),
}
"""What each fixture of `tests/conftest.py` starts."""

KIT_CHILDREN: Final = frozenset({"bridge.kit.log.process", "bridge.kit.connector.capture_process"})
"""Modules by which suites of `bridge.kit` start children."""

_WAYS_TO_WAIT: Final = {
    name: value
    for name, value in vars(waiting).items()
    if name.isupper() or getattr(value, "__module__", "") == waiting.__name__
}


def mark(item: pytest.Item) -> None:
    """Add the markers of one test."""
    started = {name for fixture in _fixtures(item) for name in STARTED_BY.get(fixture, ())}
    if _is_of_kit_with_child(item):
        started.add(PROCESS)
    for name in sorted(started):
        item.add_marker(name)
    if _waits(item):
        item.add_marker(WAITS)
    if not may_start_processes(item):
        item.add_marker(UNIT)


def may_start_processes(item: pytest.Item) -> bool:
    """Whether a test is marked by what it starts."""
    return any(item.get_closest_marker(name) for name in (*SERVERS, PROCESS))


def _waits(item: pytest.Item) -> bool:
    module = vars(getattr(item, "module", None) or object)
    return any(name in module and module[name] is value for name, value in _WAYS_TO_WAIT.items())


def _is_of_kit_with_child(item: pytest.Item) -> bool:
    """Whether a test of `bridge.kit`, which has no fixtures of ours, kills children of its own."""
    function = getattr(item, "function", None)
    if not isinstance(function, FunctionType) or not function.__module__.startswith("bridge.kit."):
        return False
    named = (function.__globals__.get(name) for name in function.__code__.co_names)
    return any(getattr(value, "__module__", "") in KIT_CHILDREN for value in named)


def _fixtures(item: pytest.Item) -> set[str]:
    """The fixtures that a test asks for, also by `request.getfixturevalue(request.param)`."""
    names = set(getattr(item, "fixturenames", ()))
    callspec = getattr(item, "callspec", None)
    if callspec is None or "request" not in names:
        return names
    pending = [value for value in callspec.params.values() if isinstance(value, str)]
    while pending:
        name = pending.pop()
        definitions = item.session._fixturemanager.getfixturedefs(name, item)
        if definitions and name not in names:
            names.add(name)
            pending += definitions[-1].argnames
    return names

"""A test that is marked `unit` starts no process and no server: where it would, it fails.

Python's audit events tell of every way to start a process. What a test starts while it is being torn
down isn't looked at: fixtures of a whole session may end with any test.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from typing import Any, Final

import pytest

from tests.marks import may_start_processes
from tests.services import permission

STARTING: Final = frozenset({"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn"})


class ProcessGuard:
    """The plugin."""

    def __init__(self) -> None:
        self._started: list[str] = []
        # There is no way to take a hook back; this one lives as long as pytest's process.
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in STARTING and permission.refused:
            self._started.append(f"{event} {arguments[:2]}")
            raise permission.NotPermitted(permission.HINT)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, object, object]:
        return (yield from self._guard(item))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        return (yield from self._guard(item))

    def _guard(self, item: pytest.Item) -> Generator[None, object, object]:
        permission.refused = not may_start_processes(item)
        try:
            result = yield
        finally:
            permission.refused = False
            started = self._started.copy()
            self._started.clear()
        # Also where the code under test has caught what the hook raised.
        if started:
            pytest.fail(f"{permission.HINT}; started: {'; '.join(started)}", pytrace=False)
        return result

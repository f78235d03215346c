"""What parts of a running process wait for, since when: kept from notices, for `bridgectl status`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from bridge.model.work_progress import MICROSECONDS
from bridge.observe import HandlerWaits, Notice, PartState

RUNNING_STATES = frozenset({"running", "opened", "stopped"})


@dataclass(frozen=True, slots=True)
class PartWait:
    """A part, as of `PartState`, waits (`retrying`) or has given up (`failed`); of an agent's handler with so many `events`, where a system of
    the bridge is unavailable for that `system`. `since` in microseconds since 1970.
    """

    kind: str
    name: str
    since: int
    reason: str
    state: str = "retrying"
    handler: str = ""
    system: str = ""
    events: int = 0


class PartWaits:
    """An observer. `changed` is called when something begins or ends to wait."""

    def __init__(
        self,
        changed: Callable[[], None],
        clock: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self._changed = changed
        self._clock = clock
        self._waits: dict[tuple[str, str, str], PartWait] = {}

    def __call__(self, notice: Notice) -> None:
        """Keep what says that a part waits, or no longer does."""
        if isinstance(notice, HandlerWaits):
            key = ("handler", notice.agent, notice.handler)
            wait = PartWait(
                "handler",
                notice.agent,
                int(notice.since * MICROSECONDS),
                notice.reason,
                handler=notice.handler,
                system=notice.system,
                events=notice.events,
            )
            self._set(key, wait if notice.events else None)
        elif isinstance(notice, PartState):
            key = (notice.kind, notice.name, "")
            before = self._waits.get(key)
            if notice.state in RUNNING_STATES:
                self._set(key, None)
            else:
                since = before.since if before is not None else self._clock()
                wait = PartWait(notice.kind, notice.name, since, notice.reason, notice.state)
                self._set(key, wait)

    def _set(self, key: tuple[str, str, str], wait: PartWait | None) -> None:
        before = self._waits.get(key)
        is_news = (wait is None) is not (before is None)
        if wait is not None:
            self._waits[key] = wait
        else:
            self._waits.pop(key, None)
        if is_news:
            self._changed()

    @property
    def waits(self) -> list[PartWait]:
        """All; those of agents by their handlers where these say more."""
        handlers = {wait.name for wait in self._waits.values() if wait.kind == "handler"}
        return [
            wait
            for wait in self._waits.values()
            if wait.kind != "agent" or wait.name not in handlers
        ]


def dump_waits(waits: list[PartWait]) -> list[dict[str, Any]]:
    """As JSON has them."""
    return [asdict(wait) for wait in waits]


def load_wait(each: Mapping[str, Any]) -> PartWait:
    """Raises KeyError, ValueError, TypeError for what is none."""
    return PartWait(
        str(each["kind"]),
        str(each["name"]),
        int(each["since"]),
        str(each["reason"]),
        str(each["state"]),
        str(each["handler"]),
        str(each["system"]),
        int(each["events"]),
    )

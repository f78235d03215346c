"""What an agent's author declares: a name, and handlers of events."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeVar

from bridge.agent.first_start import parse_start
from bridge.agent.handler_form import HandlerForm, handler_form, signature_problem
from bridge.model.agent_name import agent_name_problem
from bridge.model.contained_errors import contained
from bridge.model.errors import ConfigurationError
from bridge.model.event import Event
from bridge.model.names import split_entity

OPS = frozenset({"create", "update", "delete", "read"})
DEFAULT_OPS = frozenset({"create", "update", "delete"})
OnFailure = Literal["park", "park_key", "stop"]
Where = Callable[[Event], bool] | Mapping[str, Any]
Run = TypeVar("Run", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class EventHandler:
    """One handler: which events it wants, its function, and the form of that function."""

    name: str
    entity: str
    ops: frozenset[str]
    where: Where | None
    echo: bool
    run: Callable[..., Any]
    form: HandlerForm

    def wants(self, event: Event) -> bool:
        """Whether the event is of its entity and operations and matches `where`.

        Raises what `where` raises.
        """
        if event.entity != self.entity or event.op not in self.ops:
            return False
        if self.where is None:
            return True
        if callable(self.where):
            try:
                return bool(self.where(event))
            except BaseException as error:
                raise contained(error, f"`where` of handler {self.name!r}") from error
        row = event.after if event.after is not None else event.before
        return row is not None and all(_matches(row[n], want) for n, want in self.where.items())


def _matches(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, (list, tuple, set, frozenset)):
        return value in wanted
    return bool(value == wanted)


MAX_WAIT_S = 86_400.0
"""One day: a waiting event holds up its whole partition."""


class AgentDeclaration:
    """An `Agent` without its test bench, which is built from parts that depend on this."""

    def __init__(
        self,
        name: str,
        version: str | None = None,
        *,
        start: str | datetime = "beginning",
        on_failure: OnFailure = "park",
        own_echo: bool = False,
        attempts: int = 8,
        first_wait_s: float = 1.0,
        longest_wait_s: float = 60.0,
        concurrency: int = 500,
        unfinished: int = 1000,
    ) -> None:
        if problem := agent_name_problem(name):
            raise ConfigurationError(f"agent {name!r} {problem}")
        if on_failure not in ("park", "park_key", "stop"):
            raise ConfigurationError(
                f"agent {name!r}: on_failure is {on_failure!r}; it must be park, park_key or stop"
            )
        for what, number in (
            ("attempts", attempts),
            ("concurrency", concurrency),
            ("unfinished", unfinished),
        ):
            if number < 1:
                raise ConfigurationError(
                    f"agent {name!r}: {what} is {number}; it must be at least 1"
                )
        if not 0 <= first_wait_s <= longest_wait_s <= MAX_WAIT_S:
            raise ConfigurationError(
                f"agent {name!r}: first_wait_s is {first_wait_s} and longest_wait_s {longest_wait_s}; "
                f"both must be seconds from 0 to {MAX_WAIT_S:.0f}, and first_wait_s at most "
                "longest_wait_s"
            )
        try:
            self.start = parse_start(start)
        except ValueError as error:
            raise ConfigurationError(f"agent {name!r}: start: {error}") from None
        self.name = name
        self.version = version
        self.on_failure: OnFailure = on_failure
        self.own_echo = own_echo
        self.attempts = attempts
        self.first_wait_s = first_wait_s
        self.longest_wait_s = longest_wait_s
        self.concurrency = concurrency
        self.unfinished = unfinished
        self._handlers: list[EventHandler] = []

    @property
    def handlers(self) -> tuple[EventHandler, ...]:
        """In the order of declaration, which is the order in which they run."""
        return tuple(self._handlers)

    @property
    def entities(self) -> frozenset[str]:
        """The entities that its handlers want, as `system.entity`."""
        return frozenset(handler.entity for handler in self._handlers)

    def on(
        self,
        entity: str,
        *,
        ops: Iterable[str] = DEFAULT_OPS,
        where: Where | None = None,
        echo: bool = False,
    ) -> Callable[[Run], Run]:
        """Declare a handler, `async` or plain (plain ones run in threads), of `(event, ctx)`.

        `ops`: some of create, update, delete and read (rows of a snapshot; not in the default).
        `where`: a function of the event, or fields of its row and the values they must have.
        `echo`: also pass changes that this agent's own commands caused.
        The handler returns None, a Command, several, or yields them. Raises ConfigurationError for
        an invalid declaration.
        """
        self._check_entity(entity)
        wanted = frozenset({ops} if isinstance(ops, str) else ops)
        if unknown := wanted - OPS or (not wanted and {"nothing"}):
            raise ConfigurationError(
                f"agent {self.name!r} on {entity}: unknown ops {', '.join(sorted(unknown))}; "
                f"use some of {', '.join(sorted(OPS))}"
            )
        if not (where is None or callable(where) or isinstance(where, Mapping)):
            raise ConfigurationError(
                f"agent {self.name!r} on {entity}: where is a {type(where).__name__}; it must be a "
                'function of the event, or fields and their values: {"status": "open"}'
            )

        def declare(run: Run) -> Run:
            if not callable(run):
                raise ConfigurationError(
                    f"agent {self.name!r} on {entity}: a {type(run).__name__} can't be called"
                )
            name = getattr(run, "__name__", type(run).__name__)
            if problem := signature_problem(run):
                raise ConfigurationError(f"agent {self.name!r}, handler {name!r} {problem}")
            if any(handler.name == name and handler.entity == entity for handler in self._handlers):
                raise ConfigurationError(
                    f"agent {self.name!r} has two handlers {name!r} on {entity}: rename one, "
                    "because command ids are derived from the name"
                )
            self._handlers.append(
                EventHandler(name, entity, wanted, where, echo, run, handler_form(run))
            )
            return run

        return declare

    def _check_entity(self, entity: object) -> None:
        if isinstance(entity, str):
            split_entity(entity)
            return
        what = getattr(entity, "__name__", repr(entity))
        raise ConfigurationError(
            f"agent {self.name!r}: `on` was given {what} instead of an entity; write "
            f'@agent.on("system.entity") above the handler'
        )

    def is_echo(self, handler: EventHandler, event: Event) -> bool:
        """Whether a command of this agent caused the event and the handler doesn't want such
        events.
        """
        if self.own_echo or handler.echo or event.caused_by is None:
            return False
        return event.caused_by.startswith(f"{self.name}:")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {len(self._handlers)} handlers)"

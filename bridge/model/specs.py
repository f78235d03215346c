"""The declarations of a system, as values that every layer may use.

`bridge.config` builds them from the files; plans, capture, gateway and commands read them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Literal

from bridge.model.delete_limit import DEFAULT_LIMIT, DeleteLimit
from bridge.model.types import FieldType, Relation


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """One declared field: from which source columns and through which transforms.

    In the order in which they apply: `code_page` (bytes to text), `trim`, `format` and `zone`
    (text, or several columns joined, to a date, a local time or a timestamp; `zone` alone converts
    a local time to a timestamp), `map` (source text to value; a value that isn't listed is an
    error), `zeros` (strips leading zeros inwards, pads to this width outwards), `unit` (an exact
    decimal factor), `mask` (`hash`: HMAC-SHA-256 in hexadecimal; `drop`: always null), `call`
    (`package.module:function`, called with the value).
    `type` None: derived from the catalogue, after the transforms.
    """

    name: str
    columns: tuple[str, ...]
    type: FieldType | None = None
    code_page: str = ""
    trim: bool = False
    format: str = ""
    zone: str = ""
    map: Mapping[str, Any] | None = None
    zeros: int = 0
    unit: str = ""
    mask: str = ""
    call: str = ""


DEFAULT_MAX_STALENESS_S: Final = 5.0
"""Where neither the read nor the entity sets one. Never unlimited by default: without a view and a
cache every read is live.
"""
DEFAULT_CACHE_BYTES: Final = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class CacheSpec:
    """How old answers about an entity may be, in seconds.

    max_staleness: where the read doesn't say.
    stale_if_error: while the legacy system is unavailable, where the read makes no demands; 0: no
    older than otherwise.
    """

    max_staleness: float = DEFAULT_MAX_STALENESS_S
    stale_if_error: float = 0.0


@dataclass(frozen=True, slots=True)
class EntitySpec:
    """One declared entity. No fields: every column of the table, by the catalogue.

    `key` empty: the table's primary key. `before` etc. come from the source's shape. `max_deletes`:
    more deletes than this from one comparison pause the entity. `view`: whether a view holds it. `cache`:
    how old answers may be.
    """

    system: str
    name: str
    table: str
    key: tuple[str, ...] = ()
    fields: tuple[FieldSpec, ...] = ()
    relations: tuple[Relation, ...] = ()
    version: str = ""
    max_deletes: DeleteLimit = DEFAULT_LIMIT
    view: Literal["auto", "yes", "no"] = "auto"
    cache: CacheSpec = CacheSpec()

    @property
    def qualified(self) -> str:
        """`system.entity`."""
        return f"{self.system}.{self.name}"


class Tier(StrEnum):
    """Risk tiers, from the strictest."""

    IN_THE_LOOP = "in_the_loop"
    ON_THE_LOOP = "on_the_loop"
    OUTSIDE_THE_LOOP = "outside_the_loop"


@dataclass(frozen=True, slots=True)
class ArgSpec:
    """One argument of a command; `choices` empty: any. Bounds apply to the type's own order."""

    name: str
    type: FieldType
    required: bool = True
    default: Any = None
    max_length: int | None = None
    minimum: Any = None
    maximum: Any = None
    pattern: str = ""
    choices: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class CommandSpec:
    """One declared command. `run` has `:key` (or `:key_FIELD`), `:id` (the command's own) and
    `:argument` parameters; so has `probe`, which finds whether the command took effect (empty: the
    connector can determine it, or nothing can).

    `guards` empty: all fields take part in the version that `expect` is compared with.
    `many`: more than one row may be affected.
    """

    system: str
    name: str
    entity: str
    run: str
    args: tuple[ArgSpec, ...] = ()
    tier: Tier = Tier.IN_THE_LOOP
    guards: tuple[str, ...] = ()
    many: bool = False
    probe: str = ""

    @property
    def qualified(self) -> str:
        """`system.command`."""
        return f"{self.system}.{self.name}"


@dataclass(frozen=True, slots=True)
class BudgetSpec:
    """What one agent may read.

    reads, per_s: rows, keys and queries that it asks for in any time of that length (0: any number).
    per_event: for one attempt at one event (0: any number).
    """

    reads: int = 0
    per_s: float = 3600.0
    per_event: int = 0


@dataclass(frozen=True, slots=True)
class WindowLimit:
    """At most `limit` requests, or seconds of execution, in any `per_s` seconds."""

    limit: float
    per_s: float
    unit: Literal["requests", "seconds"] = "requests"


@dataclass(frozen=True, slots=True)
class SystemLimits:
    """Limits of one system, in its own currency (0: no limit).

    connections: queries at the same time; queries_per_second: started, evenly spaced with `burst`
    1, else up to `burst` at once; sessions: open at the same time; windows: sliding, all of them
    hold; batch_operations: in one `$batch`; rows_per_second: of all answers; max_rows: of one.

    total_connections: of everything that the bridge does in the system, reads, capture and commands,
    in all of its processes; surface_connections: of these, for `bridgectl` beside the processes that
    run; processes: that run parts of the bridge at the same time.
    """

    connections: int = 4
    queries_per_second: float = 0.0
    burst: int = 1
    sessions: int = 0
    windows: tuple[WindowLimit, ...] = ()
    batch_operations: int = 0
    rows_per_second: float = 0.0
    max_rows: int = 0
    total_connections: int = 0
    surface_connections: int = 1
    processes: int = 1


@dataclass(frozen=True, slots=True)
class SystemSpec:
    """One declared system without its secrets.

    limits: as the file has them, with defaults.
    written_limits: names of those that the file sets.
    view_bytes: of disk that its view may take.
    peers: whether rows are read together with those that were answered together with theirs.
    """

    name: str
    connector: str
    entities: tuple[EntitySpec, ...]
    commands: tuple[CommandSpec, ...] = ()
    limits: SystemLimits = field(default_factory=SystemLimits)
    written_limits: frozenset[str] = frozenset()
    view_bytes: int = 1_000_000_000
    cache_bytes: int = DEFAULT_CACHE_BYTES
    peers: bool = True

    def entity(self, name: str) -> EntitySpec:
        """The entity of that name; raises KeyError."""
        for entity in self.entities:
            if entity.name == name:
                return entity
        raise KeyError(name)

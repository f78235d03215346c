"""The code that talks to one kind of system, and its optional protocols."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Literal, NamedTuple, Protocol, runtime_checkable

from pydantic import BaseModel

from bridge.connector.capabilities import Capabilities
from bridge.connector.reading import Reader, Snapshot, Visibility
from bridge.connector.stream import Checkpoint, Shape, Source
from bridge.connector.system import Finding, SetupPlan, System
from bridge.connector.writing import Writer
from bridge.model.specs import CommandSpec, SystemLimits


class Connector(Protocol):
    """The code that talks to one kind of system. Stateless; opens the other parts.

    name: its entry point, as `connector:` names it.
    options: model of the `capture:` mapping in the system's file.
    """

    name: str
    options: type[BaseModel]

    def capabilities(self) -> Capabilities:
        """What it offers; constant for all systems and for the life of the process."""

    async def describe(self, system: System) -> Mapping[str, Shape]:
        """Shapes of `system.tables` by configured name, from the catalogue. Raises
        ConfigurationError for a missing table, RetryLater while the system is unavailable.
        """

    async def check(self, system: System) -> list[Finding]:
        """Report everything that is missing or dangerous at once, each with its fix. An unavailable
        system is a finding too. Changes nothing.
        """

    async def setup(self, system: System) -> list[str]:
        """Create what capture and commands need and is missing (publication, slot, journal, ledger);
        returns the statements that ran. Only on request. Raises ConfigurationError for a missing
        permission, RetryLater while the system is unavailable.
        """

    def setup_sql(self, system: System) -> list[str]:
        """What `setup` would run, for people to read."""

    async def source(self, system: System) -> Source:
        """A Source that is not open yet. Raises Unsupported without the capability `capture`."""

    async def snapshot(self, system: System) -> Snapshot:
        """Open a Snapshot. Raises Unsupported without that capability, RetryLater, ConfigurationError."""

    async def reader(self, system: System) -> Reader:
        """Open a Reader. Raises Unsupported without the capability `read`, RetryLater,
        ConfigurationError.
        """

    async def writer(self, system: System) -> Writer:
        """Open a Writer. Raises Unsupported without the capability `write`, RetryLater,
        ConfigurationError.
        """


class LogsIn(Protocol):
    """A connector whose systems configure their login under `login:`; without this attribute (or
    with None) `login:` is refused.
    """

    login: type[BaseModel] | None
    """Model of the `login:` mapping. Fields of type `SecretStr` must be written by reference; those
    of type `Path` start at the folder of the file that names them.
    """


class SpeaksHttp(Protocol):
    """A connector whose systems are reached over HTTP, with authorities and client certificate
    under `tls:` (`System.tls`); without this attribute `tls:` is refused.
    """

    speaks_http: bool


class Drafts(Protocol):
    """A connector that can write a system file (`bridgectl schema import`)."""

    async def draft(self, system: System) -> str:
        """YAML of a system file from `capture:` on, with comments, for `system.tables` (empty:
        everything that the bridge can use). Omitted tables are listed in comments.

        The caller writes the lines before it (`system`, `connector`, `url`, `login`), because only
        it knows the references in them. The whole file must pass `bridgectl check` unchanged.
        """


class DescribesChangeDetection(Protocol):
    """A connector that can describe how it detects the changes of each table."""

    async def describe_change_detection(self, system: System) -> Mapping[str, str]:
        """For people, one phrase per table: `delta links`,
        `modifiedAt with 30 s overlap, deletions by key listing every 10 m`. Raises as `describe`.
        """


ReadCheckpoint = Callable[[], Awaitable[Checkpoint | None]]
"""Reads a system's current checkpoint from the log; None: it has none."""


@runtime_checkable
class ChecksResuming(Protocol):
    """A Connector that can determine, without opening a source, whether one could resume."""

    async def check_resuming(
        self, system: System, read_checkpoint: ReadCheckpoint
    ) -> list[Finding]:
        """What would stop a source opened at the log's checkpoint. Raises RetryLater or
        ConfigurationError if the system can't be queried.

        Capture may be running meanwhile, so that checkpoint and system both move on. A checkpoint is
        written before it is acknowledged: read what was acknowledged first, then the checkpoint, then
        how far the system has come; and read again before anything alarming is reported.
        """


class TransportRisk(NamedTuple):
    """What the connection to a system exposes.

    where: path of the setting in the system's file.
    what: is at risk, as a sentence.
    hint: what to do about it.
    """

    where: tuple[str, ...]
    what: str
    hint: str


@runtime_checkable
class ChecksTransport(Protocol):
    """A Connector that can determine from the configuration alone whether a login or data would
    cross a network unprotected.
    """

    def check_transport(self, system: System) -> list[TransportRisk]:
        """Empty if the system is on this machine. Makes no request."""


@runtime_checkable
class PlansSetup(Protocol):
    """A Connector that can list the statements a system needs, and which login has to run each."""

    async def setup_plan(self, system: System, commands: Sequence[CommandSpec]) -> SetupPlan:
        """The missing statements; all that are needed if the system can't be queried. Runs
        nothing.
        """


class PublishedLimits(NamedTuple):
    """What the maker of a system publishes about its limits.

    service: the system's kind, for people: `Dataverse`.
    limits: those that are published; the others have their defaults.
    page: the address of the page that states them.
    note: what else has to be known of them, as a sentence; empty: nothing.
    """

    service: str
    limits: SystemLimits
    page: str
    note: str = ""


@runtime_checkable
class PublishesLimits(Protocol):
    """A Connector that knows published limits of some of its systems. They hold where the system's
    file doesn't set them.
    """

    def published_limits(self, system: System) -> PublishedLimits | None:
        """Of the kind of service that this system is; None: none are known. Makes no request."""


@runtime_checkable
class EndsSessions(Protocol):
    """A Connector of systems that show the names of their sessions and let a login end its own. Its
    Reader's sessions have the label of `System.read_sessions`, and are opened as that allows.
    """

    async def end_sessions(self, system: System) -> int:
        """End the labelled sessions of this system's reads, except those with the label of
        `system.read_sessions`, and wait until they are gone.

        Returns how many sessions of reads are left beside that label's: ones that could not be ended
        in time, and those without a label, which belong to processes that ask nobody. Raises
        RetryLater while the system is unavailable, ConfigurationError.
        """


@runtime_checkable
class SendsVisibility(Protocol):
    """A Connector whose visibilities have a text, so that answers of a Reader can be sent to another
    process; without it they arrive there without one.
    """

    def dump_visibility(self, visibility: Visibility) -> str:
        """A text of a visibility that one of this connector's parts returned."""

    def load_visibility(self, text: str) -> Visibility:
        """A visibility that answers as the one that the text is of. Raises ValueError."""


class StatementProblem(NamedTuple):
    """What is wrong with a command.

    command: its name.
    where: whether its `run` or its `probe`.
    what: is wrong, as a sentence.
    """

    command: str
    where: Literal["run", "probe"]
    what: str


@runtime_checkable
class ChecksCommands(Protocol):
    """A Connector that can check commands against the system's catalogue, without executing
    them.
    """

    async def check_commands(
        self, system: System, commands: Sequence[CommandSpec]
    ) -> list[StatementProblem]:
        """Everything that is wrong with them regardless of arguments. Raises ConfigurationError or
        RetryLater if the system can't be queried.
        """


def unsupported(connector: str, what: str) -> str:
    """The message of an Unsupported error."""
    return f"connector {connector!r} does not support {what}"

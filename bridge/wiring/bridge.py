"""The bridge, built from its configuration."""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from bridge.agent import Agent
from bridge.agent.runner import AgentRunner
from bridge.capture.checkpoint.epoch import Epoch
from bridge.capture.contract import CaptureDependencies
from bridge.capture.report.stats import CaptureStats
from bridge.capture.runner import Capture
from bridge.closing import close_all
from bridge.commands import CommandExecutor
from bridge.commands.strategy.retry_after import RetryAfterWriter
from bridge.config import Config, SystemConfig
from bridge.connector import Connector, System, Writer, unsupported
from bridge.gateway import Gateway, Gateways
from bridge.gateway.answer_tally import AnswerTally
from bridge.gateway.budgeted_reads import BudgetedReads
from bridge.gateway.cache.cache_state import CacheBounds
from bridge.gateway.copy.system_copy import FollowedCopy
from bridge.gateway.limits.admission_request import WorkClass
from bridge.gateway.limits.read_budget import ReadBudget
from bridge.gateway.view.system_view import SystemView
from bridge.log.port import Log
from bridge.log.registry_port import Registry
from bridge.log.system_topics import SystemTopicCodec
from bridge.log.topic_specs import public_topic_specs
from bridge.model.errors import ConfigurationError, Unsupported
from bridge.model.specs import CommandSpec, EntitySpec
from bridge.observe import Observer, both, ignore
from bridge.ports.entity_reads import EntityReads
from bridge.single_flight import SingleFlight
from bridge.wiring.connectors import build_system, load_connector
from bridge.wiring.declared_commands import DeclaredCommands
from bridge.wiring.entity_tables import EntityTables, entity_tables
from bridge.wiring.event_log import make_log, make_registry
from bridge.wiring.gateway_sections import gateway_sections
from bridge.wiring.group_reports import GroupReports
from bridge.wiring.readers import ReadingProcess, open_reader
from bridge.wiring.registry_events import RegistryEventDecoder
from bridge.wiring.system_access import SystemAccess
from bridge.wiring.system_copies import build_copy
from bridge.wiring.system_limits import part_system, reservation_of


class Bridge:
    """Everything that one configuration stands for; made by `opened`.

    `log`, `registry` and `codec` are open. Connectors are loaded when a system is first asked for.
    """

    def __init__(
        self,
        config: Config,
        log: Log,
        registry: Registry,
        observer: Observer,
        stack: AsyncExitStack,
        *,
        runs: bool = False,
    ) -> None:
        self.config = config
        self.name = config.bridge
        self.log = log
        self.registry = registry
        self.codec = SystemTopicCodec(registry, config.bridge)
        self.observer = observer
        self.systems: Mapping[str, SystemConfig] = {
            system.spec.name: system for system in config.systems
        }
        self.entities: Mapping[str, EntitySpec] = {
            entity.qualified: entity for system in config.systems for entity in system.spec.entities
        }
        self.declared: Mapping[str, CommandSpec] = {
            command.qualified: command
            for system in config.systems
            for command in system.spec.commands
        }
        self.events = RegistryEventDecoder(registry, self.entities)
        self.capture_stats: dict[str, CaptureStats] = {}
        """How each capture fares that was made last, by its system."""
        self._runs = runs
        self._stack = stack
        self._connectors: dict[str, tuple[Connector, System]] = {}
        self._tables: dict[str, EntityTables] = {}
        self._table_flights: SingleFlight[str, EntityTables] = SingleFlight()
        self._gateways: dict[str, Gateway] = {}
        self.answers: dict[str, AnswerTally] = {}
        """Who answered the reads of each system, of the gateways that are open."""
        self._gateway_flights: SingleFlight[str, Gateway] = SingleFlight()
        self.copies: dict[str, FollowedCopy] = {}
        """By system: what gateways answer from. Made by `copy`, before the gateway; run as a part."""
        self.views: dict[str, SystemView] = {}
        """By system: local copies of whole entities, once they are made; kept up beside the copy."""
        self._access: SystemAccess | None = None
        self._budgets: dict[str, ReadBudget] = {}
        self._writers: dict[str, Writer] = {}
        self.instance = instance_name()
        self.group_reports = GroupReports(log, config.bridge, self.instance)

    def system(self, name: str) -> tuple[Connector, System]:
        """A system's connector, and the system as its connector sees it.

        Raises ConfigurationError for an unknown name, ConfigProblems for wrong options.
        """
        connector_and_system = self._connectors.get(name)
        if connector_and_system is None:
            config = self.systems.get(name)
            if config is None:
                raise ConfigurationError(
                    f"there is no system {name!r}; systems are {', '.join(self.systems)}"
                )
            connector = load_connector(config)
            connector_and_system = self._connectors[name] = (
                connector,
                build_system(self.name, config, connector, surface=not self._runs),
            )
        return connector_and_system

    async def create_topics(self) -> None:
        """Create missing topics that people and other programs read."""
        await self.log.create_topics(
            public_topic_specs(self.name, self.entities, self.config.history_ms)
        )

    async def tables(self, name: str) -> EntityTables:
        """The entities of a system over their tables, by bare name; asks the catalogue once.

        Those that don't fit their tables are known as missing (`EntityTables`). Raises
        ConfigurationError where none is whole, RetryLater when the system is unavailable.
        """
        tables = self._tables.get(name)
        if tables is None:
            tables = await self._table_flights.result(name, lambda: self._read_tables(name))
        return tables

    async def _read_tables(self, name: str) -> EntityTables:
        connector, system = self.system(name)
        tables = self._tables[name] = await entity_tables(
            connector, system, self.systems[name], self.registry
        )
        return tables

    def capture(self, name: str, *, crash_point: Callable[[str], None] | None = None) -> Capture:
        """Capture of one system. Raises ConfigurationError if its options are wrong."""
        connector, system = self.system(name)
        config = self.systems[name]
        deps = CaptureDependencies(
            bridge=self.name,
            connector=connector,
            system=part_system(system),
            entities=config.spec.entities,
            log=self.log,
            registry=self.registry,
            dead=self.codec,
            clock=lambda: time.time_ns() // 1000,
            monotonic=time.monotonic,
            observer=self.observer,
            history_ms=self.config.history_ms,
            max_record_bytes=self.config.max_record_bytes,
            mask_key=config.mask_key.reveal().encode() if config.mask_key else b"",
            crash_point=crash_point or (lambda _: None),
        )
        capture = Capture(deps, instance_name())
        self.capture_stats[name] = capture.stats
        return capture

    def copy(self, name: str) -> FollowedCopy | None:
        """The copy of one system, the same at each call; None if its connector doesn't capture, or
        nothing of it is to be held. Gateways that are made later answer from it.
        """
        connector, _ = self.system(name)
        is_held = connector.capabilities().capture and self.systems[name].spec.cache_bytes > 0
        if name not in self.copies and is_held:
            self.copies[name] = build_copy(
                self.name,
                name,
                connector,
                self.systems[name].spec.entities,
                log=self.log,
                registry=self.registry,
                codec=self.codec,
                observer=both(self.group_reports, self.observer),
                process=instance_name(),
                bounds=CacheBounds(bytes=self.systems[name].spec.cache_bytes),
            )
        return self.copies.get(name)

    async def gateway(self, name: str, work: WorkClass = WorkClass.AGENTS) -> Gateway:
        """The gateway of one system, which reads for `work` and answers from its copy if that was made
        before. Raises Unsupported if its connector has no Reader.
        """
        connector, system = self.system(name)
        if not connector.capabilities().read:
            raise Unsupported(unsupported(connector.name, "reads"))
        # First: while the system is unavailable nothing is made that somebody would have to close.
        reservation = reservation_of(connector, system)
        if self._runs and reservation.problem:
            raise ConfigurationError(f"system {name!r}: {reservation.problem}")
        tables = await self.tables(name)
        reader, limits = await open_reader(
            self.config, name, connector, system, ReadingProcess(self.instance, work)
        )
        return Gateway(
            name,
            reader,
            tables,
            limits,
            observer=both(self.group_reports, self.observer),
            copy=self.copies.get(name),
            view=lambda: self.views.get(name),
            audit_share=self.config.audit_share,
            peers=self.systems[name].spec.peers,
        )

    async def reads(self, *systems: str) -> Gateways:
        """The gateways of these systems, or of every one that can be read. Each is one a bridge,
        closed with it, whoever asks for it at the same time: it keeps the limits of its system.
        """
        for name in systems or self.systems:
            if systems or self.system(name)[0].capabilities().read:
                await self._opened_gateway(name, WorkClass.SURFACES)
        return Gateways(self._gateways)

    async def agent_access(self) -> tuple[Gateways, DeclaredCommands]:
        """What agents read with and send to. A system that can't be opened keeps those waiting who
        ask for it (RetryLater), until it can.
        """
        if self._access is None:
            self._access = SystemAccess(
                self.systems, self._open_for_agents, both(self.group_reports, self.observer)
            )
            self._stack.push_async_callback(self._access.close)
        await self._access.open()
        away = self._access.unavailable
        return (
            Gateways(self._gateways, away),
            DeclaredCommands(self.declared, self._tables, away),
        )

    async def _open_for_agents(self, name: str) -> None:
        if self.system(name)[0].capabilities().read:
            await self._opened_gateway(name, WorkClass.AGENTS)
        if self.systems[name].spec.commands:
            await self.tables(name)

    async def _opened_gateway(self, name: str, work: WorkClass) -> Gateway:
        gateway = self._gateways.get(name)
        if gateway is None:
            gateway = await self._gateway_flights.result(
                name, lambda: self._open_gateway(name, work)
            )
        return gateway

    async def _open_gateway(self, name: str, work: WorkClass) -> Gateway:
        gateway = self._gateways[name] = await self.gateway(name, work)
        self._stack.push_async_callback(gateway.close)
        for section, read in gateway_sections(gateway).items():
            self._stack.enter_context(self.group_reports.gateways.section(name, section, read))
        self.answers[name] = gateway.answers
        return gateway

    def agent(self, agent: Agent, reads: EntityReads, commands: DeclaredCommands) -> AgentRunner:
        """The runner of one agent, whose reads keep its budget."""
        if (limits := self.config.budgets.get(agent.name)) is not None:
            budget = self._budgets.setdefault(agent.name, ReadBudget(agent.name, limits))
            reads = BudgetedReads(reads, budget, self.observer)
        return AgentRunner(
            agent,
            bridge=self.name,
            log=self.log,
            codec=self.codec,
            events=self.events,
            reads=reads,
            commands=commands,
            observer=both(self.group_reports, self.observer),
        )

    async def executor(
        self, name: str, *, steps: Callable[[str], None] | None = None
    ) -> CommandExecutor:
        """The executor of one system's commands, in place of the one before. Its Writer is closed
        with the bridge.
        """
        connector, system = self.system(name)
        if not connector.capabilities().write:
            raise Unsupported(unsupported(connector.name, "commands"))
        ledger = connector.capabilities().ledger
        tables = await self.tables(name)
        writer = self._writers.pop(name, None)
        if writer is not None:
            await writer.close()
        writer = self._writers[name] = await connector.writer(part_system(system))
        if not ledger:
            writer = RetryAfterWriter(writer)
        return CommandExecutor(
            self.systems[name].spec,
            bridge=self.name,
            log=self.log,
            codec=self.codec,
            writer=writer,
            ledger=ledger,
            tables=tables,
            epochs=Epoch(self.log, self.name, name),
            observer=both(self.group_reports, self.observer),
            crash_point=steps or (lambda _: None),
        )

    async def close(self) -> None:
        """Close what `executor` and `tables` made. Called by `opened`."""
        writers, self._writers = self._writers, {}
        await close_all(
            *(tables.close for tables in self._tables.values()),
            *(writer.close for writer in writers.values()),
        )


def instance_name() -> str:
    """This process among all that ever ran: host, process id and chance."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"


@asynccontextmanager
async def open_bridge(
    config: Config, observer: Observer = ignore, *, runs: bool = False
) -> AsyncIterator[Bridge]:
    """The bridge of `config` with its log, registry and codec open; all closed at the end.

    runs: whether parts of the bridge run in it; otherwise its reads have the connections that are
    reserved for surfaces.
    Raises RetryLater if the log or the registry is unavailable.
    """
    async with AsyncExitStack() as stack:
        log = make_log(config)
        stack.push_async_callback(log.close)
        await log.open()
        registry = make_registry(config, log)
        stack.push_async_callback(registry.close)
        await registry.open()
        bridge = Bridge(config, log, registry, observer, stack, runs=runs)
        stack.push_async_callback(bridge.close)
        await bridge.codec.open()
        yield bridge

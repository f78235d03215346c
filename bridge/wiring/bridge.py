"""The bridge, built from its configuration."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from bridge.config import Config, SystemConfig
from bridge.connector import Connector, System
from bridge.log.fixed import FixedCodec
from bridge.log.port import Log, Registry
from bridge.model.declare import CommandSpec, EntitySpec
from bridge.model.errors import ConfigurationError
from bridge.observe import Observer, ignore
from bridge.wiring.connectors import as_system, load_connector
from bridge.wiring.events import RegistryEvents
from bridge.wiring.logs import make_log, make_registry


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
    ) -> None:
        self.config = config
        self.name = config.bridge
        self.log = log
        self.registry = registry
        self.codec = FixedCodec(registry, config.bridge)
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
        self.events = RegistryEvents(registry, self.entities)
        self._stack = stack
        self._connectors: dict[str, tuple[Connector, System]] = {}

    def system(self, name: str) -> tuple[Connector, System]:
        """A system's connector, and the system as its connector sees it.

        Raises ConfigurationError for an unknown name, ConfigProblems for wrong options.
        """
        known = self._connectors.get(name)
        if known is None:
            config = self.systems.get(name)
            if config is None:
                raise ConfigurationError(
                    f"there is no system {name!r}; systems are {', '.join(self.systems)}"
                )
            connector = load_connector(config)
            known = self._connectors[name] = (
                connector,
                as_system(self.name, config, connector),
            )
        return known


@asynccontextmanager
async def opened(config: Config, observer: Observer = ignore) -> AsyncIterator[Bridge]:
    """The bridge of `config` with its log, registry and codec open; all closed at the end.

    Raises RetryLater when the log or the registry is away.
    """
    async with AsyncExitStack() as stack:
        log = make_log(config)
        stack.push_async_callback(log.close)
        await log.open()
        registry = make_registry(config, log)
        stack.push_async_callback(registry.close)
        await registry.open()
        bridge = Bridge(config, log, registry, observer, stack)
        await bridge.codec.open()
        yield bridge

"""Agents out of files and modules."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

from bridge.agent import Agent
from bridge.model.errors import ConfigurationError


def load_agents(names: Iterable[str]) -> tuple[Agent, ...]:
    """The agents that files (`agents/watch.py`) and `package.module:name` hold.

    Raises ConfigurationError that names the file and the line where it can't be loaded, or two
    agents of one name.
    """
    found: dict[str, tuple[Agent, str]] = {}
    for name in names:
        for agent in _load(name):
            if (other := found.get(agent.name)) is not None:
                raise ConfigurationError(
                    f"{name}: agent {agent.name!r} is in {other[1]} already; names are unique, "
                    "because they stand for the agent's place in the log"
                )
            found[agent.name] = (agent, name)
    return tuple(agent for agent, _ in found.values())


def _load(name: str) -> list[Agent]:
    if name.endswith(".py"):
        module = _from_file(Path(name))
        agents = [item for item in vars(module).values() if isinstance(item, Agent)]
        if not agents:
            raise ConfigurationError(f"{name}: defines no Agent")
        return list(dict.fromkeys(agents))
    home, _, attribute = name.partition(":")
    try:
        item = getattr(importlib.import_module(home), attribute)
    except ImportError as error:
        raise ConfigurationError(f"agent {name}: {error}") from error
    except AttributeError:
        raise ConfigurationError(f"agent {name}: {home} has no {attribute!r}") from None
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise ConfigurationError(f"agent {name}: {type(error).__name__}: {error}") from error
    if not isinstance(item, Agent):
        raise ConfigurationError(f"agent {name}: is a {type(item).__name__}, not an Agent")
    return [item]


def _from_file(path: Path) -> ModuleType:
    name = f"bridge_agents_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigurationError(f"{path}: is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # sys.exit() too: else the bridge ends without a word
        del sys.modules[name]
        raise ConfigurationError(
            f"{_place(path, error)}: {type(error).__name__}: {error}"
        ) from error
    return module


def _place(path: Path, error: BaseException) -> str:
    line = getattr(error, "lineno", None) if isinstance(error, SyntaxError) else None
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    return f"{path}:{line}" if line else str(path)

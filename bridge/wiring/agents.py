"""Agents out of files and modules."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from types import ModuleType

from bridge.agent import Agent
from bridge.model.error_text import describe_error, error_message
from bridge.model.errors import ConfigurationError
from bridge.wiring.agent_modules import (
    agent_folder,
    forget_agent_modules,
    import_agent_file,
    imported_names,
)


def load_agents(names: Iterable[str]) -> tuple[Agent, ...]:
    """The agents that files (`agents/watch.py`) and `package.module:name` hold.

    Raises ConfigurationError with every problem of `read_agents`, one a line.
    """
    agents, problems = read_agents(names)
    if problems:
        raise ConfigurationError("\n".join(problems))
    return agents


def read_agents(names: Iterable[str]) -> tuple[tuple[Agent, ...], list[str]]:
    """The agents, and what is wrong: files and modules that can't be imported, with the line; agents
    of one name or without handlers. Each file is run once.
    """
    forget_agent_modules()
    homes: dict[str, tuple[Agent, str]] = {}
    problems: list[str] = []
    for agent, name in _all(names, problems):
        other = homes.setdefault(agent.name, (agent, name))
        if other[0] is not agent:
            problems.append(
                f"{name}: agent {agent.name!r} is in {other[1]} already; names are unique, "
                "because they stand for the agent's place in the log"
            )
        elif other[1] == name and not agent.handlers:
            problems.append(
                f"{name}: agent {agent.name!r} has no handlers: declare one with "
                f'@agent.on("system.entity")'
            )
    return tuple(agent for agent, _ in homes.values()), problems


def _all(names: Iterable[str], problems: list[str]) -> list[tuple[Agent, str]]:
    pairs: list[tuple[Agent, str]] = []
    for folder, files in groupby(names, _folder):
        if folder is None:
            for name in files:
                try:
                    pairs.append((_from_module(name), name))
                except ConfigurationError as error:
                    problems.append(str(error))
        else:
            with agent_folder(folder):
                pairs += _from_folder([Path(file).absolute() for file in files], problems)
    return pairs


def _folder(name: str) -> Path | None:
    return Path(name).absolute().parent if name.endswith(".py") else None


def _from_folder(files: list[Path], problems: list[str]) -> list[tuple[Agent, str]]:
    pairs: list[tuple[Agent, str]] = []
    for file in files:
        try:
            module = _from_file(file)
        except ConfigurationError as error:
            problems.append(str(error))
            continue
        agents = [item for item in vars(module).values() if isinstance(item, Agent)]
        pairs += [(agent, str(file)) for agent in dict.fromkeys(agents)]
        if not agents and not _is_shared(file, files):
            problems.append(f"{file}: defines no Agent, and no file beside it imports it")
    return pairs


def _is_shared(file: Path, files: list[Path]) -> bool:
    return any(file.stem in imported_names(other) for other in files if other != file)


def _from_module(name: str) -> Agent:
    home, _, attribute = name.partition(":")
    try:
        module = importlib.import_module(home)
    except ImportError as error:
        raise ConfigurationError(f"agent {name}: {error_message(error)}") from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise ConfigurationError(f"agent {name}: {describe_error(error)}") from error
    try:
        item = getattr(module, attribute)
    except AttributeError:
        raise ConfigurationError(f"agent {name}: {home} has no {attribute!r}") from None
    if not isinstance(item, Agent):
        raise ConfigurationError(f"agent {name}: is a {type(item).__name__}, not an Agent")
    return item


def _from_file(path: Path) -> ModuleType:
    try:
        return import_agent_file(path)
    except ConfigurationError as error:
        raise ConfigurationError(f"{_error_location(path, error)}: {error}") from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # sys.exit() too: else the bridge ends without a word
        raise ConfigurationError(
            f"{_error_location(path, error)}: {describe_error(error)}"
        ) from error


def _error_location(path: Path, error: BaseException) -> str:
    line = None
    if isinstance(error, SyntaxError) and error.filename == str(path):
        line = error.lineno
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    return f"{path}:{line}" if line else str(path)

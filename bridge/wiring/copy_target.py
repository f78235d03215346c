"""The log that a copy goes into."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bridge.config import Config, load
from bridge.config.log_target import log_target
from bridge.model.errors import ConfigurationError


def copy_target(config: Config, to: str) -> Config:
    """The configuration whose log is copied into: `to` is a URL as in a bridge's file, or the path of
    another bridge's file. Raises ConfigurationError.
    """
    if "://" in to:
        target = replace(config, log=log_target(to, Path.cwd()), folder=Path.cwd())
    else:
        target = load(Path(to))
        if target.bridge != config.bridge:
            raise ConfigurationError(
                f"{to} is of bridge {target.bridge!r}, not {config.bridge!r}: both must be the "
                "same, because topics are named after it"
            )
    if target.log == config.log:
        raise ConfigurationError(f"--to {to} is the source log itself")
    return target

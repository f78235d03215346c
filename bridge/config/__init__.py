"""Configuration: one bridge file and one file per system, all checked at once."""

from __future__ import annotations

from bridge.config.load import Config, SystemConfig, load
from bridge.config.log_target import LogTarget
from bridge.config.problems import ConfigProblems, Problem
from bridge.config.secrets import Secret

__all__ = ["Config", "ConfigProblems", "LogTarget", "Problem", "Secret", "SystemConfig", "load"]

"""Commands: checked, executed once in the legacy system, answered by one receipt."""

from bridge.commands.executor import CommandExecutor
from bridge.commands.group import executor_group

__all__ = ["CommandExecutor", "executor_group"]

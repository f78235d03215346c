"""Commands: checked, executed once in the legacy system, answered by one receipt."""

from bridge.commands.confirm import confirmed, notice_confirmations
from bridge.commands.run import CommandExecutor, executor_group

__all__ = ["CommandExecutor", "confirmed", "executor_group", "notice_confirmations"]

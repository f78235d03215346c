"""A command's history as one row."""

from __future__ import annotations

from typing import Any

from bridge.cli.output.records import parse_json_text
from bridge.commands.history import CommandHistory


def history_row(history: CommandHistory) -> dict[str, Any]:
    """The row for programs; people see fewer columns."""
    request, receipt = history.request, history.receipt
    last = history.steps[-1] if history.steps else None
    return {
        "id": history.id,
        "name": history.name,
        "state": history.state,
        "key": parse_json_text(request.key) if request else None,
        "args": parse_json_text(request.args) if request else None,
        "expect": request.expect if request else None,
        "agent": request.agent if request else None,
        "agent_version": request.agent_version if request else None,
        "handler": request.handler if request else None,
        "caused_by": request.caused_by if request else None,
        "reason": request.reason if request else None,
        "confidence": request.confidence if request else None,
        "deadline": request.deadline if request else None,
        "digest": request.digest if request else None,
        "requested_at": request.requested_at if request else None,
        "finished_at": receipt.finished_at if receipt else None,
        "code": receipt.code if receipt else (last.code if last else None),
        "message": receipt.message if receipt else (last.message if last else None),
        "result": parse_json_text(receipt.result) if receipt and receipt.result else None,
        "version": receipt.version if receipt else None,
        "position": receipt.position if receipt else None,
        "steps": [
            {
                "state": step.state,
                "at": step.at,
                "by": step.by,
                "code": step.code,
                "message": step.message,
            }
            for step in history.steps
        ],
    }

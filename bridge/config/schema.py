"""JSON Schema of the configuration files, for editors."""

from __future__ import annotations

from typing import Any, Literal

from bridge.config.models import BridgeModel, SystemModel


def config_schema(which: Literal["bridge", "system"]) -> dict[str, Any]:
    """The JSON Schema of `bridge.yaml` or of a system's file."""
    model = BridgeModel if which == "bridge" else SystemModel
    schema = model.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}

"""A connector's own options: the `capture:` mapping of a system's file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from bridge.config.collect import Collector, problem_of
from bridge.config.document import Path_
from bridge.config.load import SystemConfig
from bridge.config.problems import ConfigProblems

M = TypeVar("M", bound=BaseModel)


def options(system: SystemConfig, kind: type[M], environ: Mapping[str, str] | None = None) -> M:
    """The `capture:` mapping as the connector's own model, secrets looked up.

    Raises ConfigProblems that name file and line.
    """
    collector = Collector(os.environ if environ is None else environ)

    def put(value: Any, where: Path_) -> Any:
        if isinstance(value, str) and "${" in value:
            return collector.secret(system.document, where, value, system.folder).reveal()
        if isinstance(value, dict):
            return {name: put(item, (*where, name)) for name, item in value.items()}
        return value

    found: M | None = None
    try:
        found = kind.model_validate(put(dict(system.capture), ("capture",)))
    except ValidationError as error:
        for item in error.errors(include_input=False, include_url=False, include_context=False):
            moved = {**item, "loc": ("capture", *item["loc"])}
            collector.problems.append(problem_of(system.document, moved))
    if collector.problems or found is None:
        raise ConfigProblems(collector.problems)
    return found

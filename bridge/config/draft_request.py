"""The request for a draft of a system file, and the check of the draft."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bridge.config.clear_secrets import clear_secret_problems, clear_secrets, hide_secrets
from bridge.config.collector import Collector
from bridge.config.document import Document, parse
from bridge.config.load import SystemConfig
from bridge.config.models import StrictModel, SystemModel, TlsModel
from bridge.config.models_to_specs import system_problems
from bridge.config.problems import ConfigProblems
from bridge.config.tls_section import tls_files
from bridge.model.names import check_name
from bridge.model.specs import EntitySpec, SystemSpec


class TlsSection(StrictModel):
    """`tls:` alone, so that its problems are named as in a file."""

    tls: TlsModel


@dataclass(frozen=True, slots=True)
class DraftRequest:
    """What was requested on the command line.
    `url`, `login`, `tls`: with their references, as written to the file.
    `tables`: empty: everything.
    `folder`: that of the file.
    """

    name: str
    connector: str
    url: str
    folder: Path
    tables: Sequence[str] = ()
    login: Mapping[str, Any] = field(default_factory=dict)
    tls: Mapping[str, Any] = field(default_factory=dict)

    def system(self, environ: Mapping[str, str] | None = None) -> SystemConfig:
        """The system as if a file declared it. Raises ConfigProblems, also for a password in clear,
        because it would be written to the file.
        """
        check_name(self.name, "system")
        collector = Collector(os.environ if environ is None else environ)
        document = Document("command line", {})
        collector.problems.extend(clear_secret_problems(document, self.login, ("login",)))
        for what in clear_secrets(self.url):
            collector.problems.append(
                document.problem(
                    ("URL",),
                    f"holds {what} in clear",
                    "write a reference, in single quotes so that the shell doesn't expand it: "
                    "'scheme://user:${env:NAME}@host/...'",
                )
            )
        url = collector.secret(document, ("URL",), self.url, self.folder)
        tls = Document("command line", {"tls": dict(self.tls)})
        collector.problems.extend(clear_secret_problems(tls, tls.data))
        section = collector.model(tls, TlsSection) if self.tls else None
        files = tls_files(collector, tls, section.tls if section else None, ("tls",), self.folder)
        if collector.problems:
            raise ConfigProblems(collector.problems)
        entities = tuple(EntitySpec(self.name, table, table) for table in self.tables)
        return SystemConfig(
            spec=SystemSpec(self.name, self.connector, entities),
            url=url,
            shown_url=hide_secrets(self.url),
            mask_key=None,
            capture={},
            document=document,
            folder=self.folder,
            login=self.login,
            tls=files,
        )

    def head(self) -> str:
        """The first lines of the file, up to the connector's own."""
        lines = [f"system: {self.name}", f"connector: {self.connector}", f"url: {_text(self.url)}"]
        if self.login:
            lines += ["login:", *_mapping(self.login, "  ")]
        if self.tls:
            lines += ["tls:", *_mapping(self.tls, "  ")]
        return "\n".join(lines) + "\n"


def check_draft(text: str, shown_as: str) -> SystemModel:
    """The text as a system file. Raises ConfigProblems if the connector's draft is invalid."""
    collector = Collector({})
    document = parse(text, shown_as)
    model = collector.model(document, SystemModel)
    if model is not None:
        collector.problems += system_problems(document, model)
    if collector.problems or model is None:
        raise ConfigProblems(collector.problems)
    return model


def _mapping(data: Mapping[str, Any], indent: str) -> list[str]:
    lines: list[str] = []
    for name, value in data.items():
        if isinstance(value, Mapping):
            lines += [f"{indent}{name}:", *_mapping(value, indent + "  ")]
        else:
            lines.append(f"{indent}{name}: {_text(value)}")
    return lines


def _text(value: str) -> str:
    """A text in YAML: quoted as in JSON, which is always valid, or without quotes if it needs
    none.
    """
    return json.dumps(value, ensure_ascii=False)

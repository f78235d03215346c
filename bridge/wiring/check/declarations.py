"""Checks on the files alone: commands' statements, connectors' options."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from bridge.config import Config, ConfigProblems, SystemConfig
from bridge.connector import ChecksTransport, Connector, System
from bridge.model.errors import ConfigurationError
from bridge.model.specs import CommandSpec
from bridge.plan.to_source import lookup_problems
from bridge.tls import UnusableTlsFiles, tls_context
from bridge.wiring.check.result import CheckResult, result_of_problem
from bridge.wiring.connectors import build_system, load_connector
from connectors.sql.write.statement import parameters_of

TLS_HINT = "correct the paths, which start at the file that names them"
#: PostgreSQL's short cast right behind a parameter hides it from SQLAlchemy.
_CAST = re.compile(r"(?<![:\w\\]):(\w+)::")


def statement_problems(spec: CommandSpec, key: Sequence[str]) -> list[tuple[str, bool]]:
    """What is wrong with the parameters of a command's statement, and whether it can't work.

    `key` the entity's key fields; empty: not known here, so that any `:key_FIELD` is taken.
    """
    named, cast = set(parameters_of(spec.run)), set(_CAST.findall(spec.run))
    args = {arg.name for arg in spec.args}
    problems = [*_parameter_problems("statement", spec.run, spec, key)]
    problems.extend(
        (f"argument {name!r} isn't used in the statement", False)
        for name in sorted(args - named - cast)
    )
    if not any(name == "key" or name.startswith("key_") for name in named):
        problems.append(("the statement doesn't name the row: it has no :key", False))
    return problems


def probe_problems(spec: CommandSpec, key: Sequence[str]) -> list[tuple[str, bool]]:
    """The same of a command's probe, where it has one."""
    if not spec.probe:
        return []
    problems = [*_parameter_problems("probe", spec.probe, spec, key)]
    if not parameters_of(spec.probe) and not problems:
        problems.append(("the probe asks the same of every command: it has no :id or :key", False))
    return problems


def _parameter_problems(
    what: str, text: str, spec: CommandSpec, key: Sequence[str]
) -> Iterator[tuple[str, bool]]:
    args = {arg.name for arg in spec.args}
    keys = {f"key_{name}" for name in key} | ({"key"} if len(key) < 2 else set())
    parameters = args | keys | {"id"}
    for name in sorted(set(_CAST.findall(text)) & parameters):
        yield f"`:{name}::` isn't seen as a parameter: write CAST(:{name} AS ..)", True
    for name in sorted(set(parameters_of(text)) - parameters):
        if not key and name.startswith("key_"):
            continue
        if name == "key":
            fields = ", ".join(f":key_{field}" for field in key)
            yield f":key stands for a key of one field; this one is {fields}", True
            continue
        names = ", ".join(f":{parameter}" for parameter in sorted(parameters))
        yield f"the {what} names :{name}, which is no argument; known are {names}", True


def command_findings(
    config: SystemConfig, keys: dict[str, tuple[str, ...]]
) -> Iterator[CheckResult]:
    """Statements and probes of a system's commands. `keys` of its entities, where they are known."""
    for command in config.spec.commands:
        key = keys.get(command.entity, ())
        problems_by_key = {
            "run": statement_problems(command, key),
            "probe": probe_problems(command, key),
        }
        for where, problems in problems_by_key.items():
            for what, wrong in problems:
                problem = config.document.problem(("commands", command.name, where), what)
                yield result_of_problem(problem, "configuration" if wrong else "warning")


def lookup_findings(
    config: SystemConfig, keys: dict[str, tuple[str, ...]]
) -> Iterator[CheckResult]:
    """Fields of keys and relations whose values don't lead back to the source's. `keys` of the
    system's entities, where they are known.
    """
    for entity in config.spec.entities:
        for sentence in lookup_problems(entity, config.spec.entities, keys.get(entity.name, ())):
            problem = config.document.problem(("entities", entity.name), sentence)
            yield result_of_problem(problem)


def connector_of(
    config: Config, system: SystemConfig
) -> tuple[tuple[Connector, System] | None, list[CheckResult]]:
    """The system as its connector sees it, or what keeps it from that."""
    try:
        connector = load_connector(system)
        return (connector, build_system(config.bridge, system, connector)), []
    except ConfigProblems as error:
        return None, [result_of_problem(problem) for problem in error.problems]


def tls_findings(config: Config) -> Iterator[CheckResult]:
    """Files under `tls:` that can't be used."""
    sections = [
        (system.document, ("tls",), system.tls)
        for system in config.systems
        if system.tls is not None
    ]
    for document, where, files in sections:
        try:
            tls_context(files)
        except UnusableTlsFiles as error:
            yield result_of_problem(document.problem(where, str(error), TLS_HINT))
    if config.log.registry_tls is None:
        return
    try:
        tls_context(config.log.registry_tls)
    except UnusableTlsFiles as error:
        yield CheckResult(
            "configuration", "log", f"log.kafka.registry: {error}", config.file, TLS_HINT
        )


def transport_findings(
    config: SystemConfig, connector: Connector, system: System
) -> Iterator[CheckResult]:
    """Logins and data that would cross a network unprotected."""
    if isinstance(connector, ChecksTransport):
        try:
            risks = connector.check_transport(system)
        except ConfigurationError:
            return  # A driver that isn't installed is reported when the system is checked.
        for risk in risks:
            yield result_of_problem(
                config.document.problem(risk.where, risk.what, risk.hint), "warning"
            )

"""Checks a statement with its values against the metadata, and makes its request. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bridge.model.errors import ConfigurationError, Rejected
from bridge.model.suggestions import did_you_mean
from connectors.erp.statement_parser import Parameter
from connectors.http.errors import UnreadableAnswer
from connectors.http.json_values import parse_json
from connectors.odata.commands.statement import ODataStatement, Pairs, Value, parse
from connectors.odata.metadata.model import Action, EntitySet, ODataService, Property
from connectors.odata.protocol.literal import literal, payload
from connectors.odata.protocol.request import ODataRequest, with_query
from connectors.odata.protocol.row_path import literals, row_path

BIND_ANNOTATION = "@odata.bind"


@dataclass(frozen=True, slots=True)
class BoundRequest:
    """A request of a command. `entity_set` is the one of its row, `key` that row's (None: it makes
    one, or calls an action of no row); `fields` what it sets, as
    row values by property; of an action at the root, its arguments.
    """

    statement: ODataStatement
    request: ODataRequest
    entity_set: EntitySet | None
    key: Mapping[str, Any] | None
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StatementTarget:
    """What a statement refers to, found by its names."""

    entity_set: EntitySet | None
    action: Action | None
    key: Pairs | None


def statement_problems(text: str, service: ODataService, *, is_probe: bool = False) -> list[str]:
    """What is wrong with `run:`, or (`is_probe`) with `probe:`, against this service, whatever the
    values.
    """
    try:
        statements = parse(text)
    except ConfigurationError as error:
        return [str(error)]
    problem_texts = []
    for statement in statements:
        if is_probe and statement.verb != "GET":
            problem_texts.append(f"{statement.verb} may change something: a probe may only use GET")
        elif not is_probe and statement.verb == "GET":
            problem_texts.append("GET changes nothing: it belongs in `probe:`")
        try:
            resolve(statement, service)
        except ConfigurationError as error:
            problem_texts.append(str(error))
    return problem_texts


def resolve(statement: ODataStatement, service: ODataService) -> StatementTarget:
    """The entity set, the action and the whole key. Raises ConfigurationError."""
    if statement.verb == "CALL" and not statement.set:
        action = root_action(service, statement.action)
        _arguments_fit(action, statement)
        return StatementTarget(None, action, None)
    entity_set = set_of(service, statement.set)
    key = None if statement.key is None else _named_key(statement.key, entity_set)
    if statement.verb == "CALL":
        action = bound_action(service, entity_set, statement.action)
        _arguments_fit(action, statement)
        return StatementTarget(entity_set, action, key)
    allowed = {
        "POST": entity_set.creatable,
        "PATCH": entity_set.updatable,
        "DELETE": entity_set.deletable,
    }
    if not allowed.get(statement.verb, True):
        raise ConfigurationError(
            f"entity set {entity_set.name!r}: by the service's metadata {statement.verb} is refused"
        )
    for name, _ in statement.fields:
        if statement.verb == "GET" or (
            not name.endswith(BIND_ANNOTATION) and name not in entity_set.navigations
        ):
            property_of(entity_set, name)
    return StatementTarget(entity_set, None, key)


def bind(
    statement: ODataStatement, service: ODataService, parameters: Mapping[str, Any]
) -> BoundRequest:
    """The request. Raises ConfigurationError if the service doesn't offer it, Rejected (`bad_key`,
    `bad_value`) for invalid values.
    """
    target = resolve(statement, service)
    entity_set, action = target.entity_set, target.action
    values = {name: _value(value, parameters) for name, value in statement.fields}
    if entity_set is None:
        assert action is not None, "a statement is about a set or an action"  # noqa: S101
        return BoundRequest(statement, _root_request(action, service, values), None, None, values)
    key = None
    if target.key is not None:
        key = {name: _value(value, parameters) for name, value in target.key}
    path = entity_set.name if key is None else row_path(entity_set, service.version, key)
    if action is not None:
        body = _arguments(action, service, values)
        return BoundRequest(
            statement, ODataRequest("POST", f"{path}/{action.name}", body), entity_set, key, {}
        )
    if statement.verb == "GET":
        return BoundRequest(statement, ODataRequest("GET", path), entity_set, key, values)
    method = "MERGE" if statement.verb == "PATCH" and service.version == "v2" else statement.verb
    content = None if statement.verb == "DELETE" else _body(entity_set, service, values)
    return BoundRequest(statement, ODataRequest(method, path, content), entity_set, key, values)


def set_of(service: ODataService, name: str) -> EntitySet:
    """The entity set. Raises ConfigurationError."""
    if name in service.left_out:
        raise ConfigurationError(f"entity set {name!r} can't be used: {service.left_out[name]}")
    if name not in service.sets:
        raise ConfigurationError(
            f"there is no entity set {name!r}{did_you_mean(name, service.sets, list_all=True)}"
        )
    return service.sets[name]


def bound_action(service: ODataService, entity_set: EntitySet, name: str) -> Action:
    """The action of a row, by its qualified or its bare name. Raises ConfigurationError."""
    actions = [a for a in service.actions if a.bound_to == entity_set.name and not a.bound_many]
    for action in actions:
        if name in {action.name, action.name.rpartition(".")[2]}:
            if action.is_function:
                raise ConfigurationError(f"{name!r} is a function, which changes nothing")
            return action
    hint = did_you_mean(name, [action.name.rpartition(".")[2] for action in actions], list_all=True)
    if service.version == "v2":
        hint = "; V2 knows no actions of rows: call the function import, with the key's properties"
    raise ConfigurationError(f"entity set {entity_set.name!r} has no action {name!r}{hint}")


def root_action(service: ODataService, name: str) -> Action:
    """The action or V2's function import at the root. Raises ConfigurationError."""
    actions = {action.name: action for action in service.actions if action.bound_to is None}
    action = actions.get(name)
    if action is None:
        raise ConfigurationError(
            f"the service has no action {name!r}{did_you_mean(name, actions, list_all=True)}"
        )
    if action.is_function and service.version == "v4":
        raise ConfigurationError(f"{name!r} is a function, which changes nothing")
    return action


def property_of(entity_set: EntitySet, name: str) -> Property:
    """The property. Raises ConfigurationError."""
    p = entity_set.properties.get(name)
    if p is None:
        names = [*entity_set.properties, *entity_set.navigations]
        raise ConfigurationError(
            f"entity set {entity_set.name!r} has no property {name!r}{did_you_mean(name, names, list_all=True)}"
        )
    return p


def condition(entity_set: EntitySet, service: ODataService, fields: Mapping[str, Any]) -> str:
    """A filter that these properties have these values. Raises Rejected (`bad_key`)."""
    texts = literals(entity_set, service.version, list(fields), list(fields.values()))
    return " and ".join(f"{name} eq {text}" for name, text in zip(fields, texts, strict=True))


def _root_request(action: Action, service: ODataService, values: Mapping[str, Any]) -> ODataRequest:
    if service.version == "v4":
        return ODataRequest("POST", action.name, _arguments(action, service, values))
    parameters = {p.name: p for p in action.parameters}
    query = {name: literal(parameters[name], "v2", value) for name, value in values.items()}
    # A function import may change something even by GET. Without the content type some servers (SAP's V2
    # adapter of CAP) ignore the arguments.
    headers = {"Content-Type": "application/json"} if action.method == "POST" else {}
    return ODataRequest(action.method, with_query(action.name, query), None, headers, effect=True)


def _named_key(pairs: Pairs, entity_set: EntitySet) -> Pairs:
    if len(pairs) == 1 and not pairs[0][0]:
        if len(entity_set.key) != 1:
            raise ConfigurationError(
                f"entity set {entity_set.name!r} has the key {', '.join(entity_set.key)}: name each, as in "
                f"{entity_set.name}({', '.join(f'{name}=:key_{name.lower()}' for name in entity_set.key)})"
            )
        return ((entity_set.key[0], pairs[0][1]),)
    names = [name for name, _ in pairs]
    if sorted(names) != sorted(entity_set.key):
        raise ConfigurationError(
            f"entity set {entity_set.name!r} has the key {', '.join(entity_set.key)}, not {', '.join(names)}"
        )
    return pairs


def _value(value: Value, parameters: Mapping[str, Any]) -> Any:
    return value.value_in(parameters) if isinstance(value, Parameter) else value


def _body(
    entity_set: EntitySet, service: ODataService, values: Mapping[str, Any]
) -> Mapping[str, Any]:
    body: dict[str, Any] = {}
    for name, value in values.items():
        if name.endswith(BIND_ANNOTATION):
            body[name] = str(value)
        elif name in entity_set.navigations:
            body[name] = _together(entity_set, name, value)
        else:
            inner, p = body, property_of(entity_set, name)
            for step in p.path[:-1]:
                inner = inner.setdefault(step, {})
            inner[p.path[-1]] = payload(p, service.version, value)
    return body


def _together(entity_set: EntitySet, name: str, value: Any) -> Any:
    """Rows that are created together with theirs, as JSON."""
    try:
        return parse_json(value, parse_float=float) if isinstance(value, str) else value
    except UnreadableAnswer:
        raise Rejected(
            "bad_value", f"entity set {entity_set.name!r}: {name!r} takes JSON, and this is none"
        ) from None


def _arguments_fit(action: Action, statement: ODataStatement) -> None:
    parameters = {p.name: p for p in action.parameters}
    argument_names = [name for name, _ in statement.fields]
    for name in argument_names:
        if name not in parameters:
            raise ConfigurationError(
                f"action {action.name!r} has no parameter {name!r}{did_you_mean(name, parameters, list_all=True)}"
            )
    missing = [p.name for p in action.parameters if not p.nullable and p.name not in argument_names]
    if missing:
        raise ConfigurationError(
            f"action {action.name!r} wants {', '.join(missing)}, which the statement doesn't give"
        )


def _arguments(
    action: Action, service: ODataService, values: Mapping[str, Any]
) -> Mapping[str, Any]:
    parameters = {p.name: p for p in action.parameters}
    return {
        name: payload(parameters[name], service.version, value) for name, value in values.items()
    }

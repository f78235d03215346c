"""Every key of the configuration files, by its path."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from pydantic import BaseModel

from bridge.config.models import BridgeModel, SystemModel
from connectors.journal import connector as journal
from connectors.odata.connector import connector as odata
from connectors.postgres import connector as postgres
from connectors.tryton.connector import connector as tryton
from tests.docs.site.reference.table import code, plain, table

CONNECTORS: Mapping[str, Any] = {
    "postgres": postgres,
    "journal": journal,
    "odata": odata,
    "tryton": tryton,
}
HEAD = """# Configuration keys

Made from the models by which the files are checked; `bridgectl schema config` prints the same as JSON Schema for
editors. What the keys mean together: [configuration](../configuration.md). `NAME` stands for a name of yours,
`[]` for each item of a list.
"""


class Key(NamedTuple):
    """A key of a file. path: as `entities.NAME.from`"""

    path: str
    values: str
    default: str
    description: str


def configuration_page() -> str:
    """The whole page."""
    parts = [HEAD, "## bridge.yaml", _table(BridgeModel), "## systems/NAME.yaml"]
    parts.append(_table(SystemModel))
    for name, connector in CONNECTORS.items():
        parts += [f"## `capture:` of {name}", _table(connector.options)]
        login = getattr(connector, "login", None)
        if login is not None:
            parts += [f"## `login:` of {name}", _table(login)]
    return "\n\n".join(parts) + "\n"


def _table(model: type[BaseModel]) -> str:
    rows = [
        (code(key.path), plain(key.values), key.default, plain(key.description))
        for key in keys(model)
    ]
    return table(("key", "values", "default", "meaning"), rows)


def keys(model: type[BaseModel]) -> list[Key]:
    """Each key of a model and of those within it."""
    schema = model.model_json_schema(by_alias=True)
    return list(_keys(schema, "", schema.get("$defs", {})))


def _keys(schema: Mapping[str, Any], path: str, models: Mapping[str, Any]) -> Iterator[Key]:
    for form in _forms(schema, models):
        required = form.get("required", [])
        for name, inner in form.get("properties", {}).items():
            inner_path = f"{path}.{name}".removeprefix(".")
            forms = _forms(inner, models)
            default = "required" if name in required else _default(inner)
            values = " or ".join(dict.fromkeys(_values(each, models) for each in forms))
            description = inner.get("description") or forms[0].get("description", "")
            yield Key(inner_path, values, default, description)
            yield from _keys(inner, inner_path, models)
        for inner in _of_any_name(form):
            yield from _keys(inner, f"{path}.NAME", models)
        if "items" in form:
            yield from _keys(form["items"], f"{path}[]", models)


def _of_any_name(form: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from form.get("patternProperties", {}).values()
    inner = form.get("additionalProperties")
    if isinstance(inner, dict):
        yield inner


def _forms(schema: Mapping[str, Any], models: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The forms that a value may have, without null."""
    if "$ref" in schema:
        return _forms(models[schema["$ref"].rpartition("/")[2]], models)
    choices = schema.get("anyOf") or schema.get("oneOf")
    if not choices:
        return [] if schema.get("type") == "null" else [schema]
    return [form for choice in choices for form in _forms(choice, models)]


def _values(form: Mapping[str, Any], models: Mapping[str, Any]) -> str:
    if "enum" in form or "const" in form:
        return ", ".join(code(each) for each in form.get("enum", [form.get("const")]) if each != "")
    kind = str(form.get("type", "any value"))
    if kind == "array":
        items = _forms(form.get("items", {}), models)
        return "list of " + " or ".join(dict.fromkeys(_values(item, models) for item in items))
    low = form.get("minimum", form.get("exclusiveMinimum"))
    high = form.get("maximum", form.get("exclusiveMaximum"))
    limits = {(False, False): f" {low} to {high}", (False, True): f" from {low}"}
    return {"object": "mapping", "string": "text"}.get(kind, kind) + limits.get(
        (low is None, high is None), ""
    )


def _default(inner: Mapping[str, Any]) -> str:
    value = inner.get("default")
    return "" if value is None or value in ("", [], {}) else code(json.dumps(value))

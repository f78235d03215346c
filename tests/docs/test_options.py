"""Every option of every configuration file is documented, with the default that it has."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from bridge.config.models import BridgeModel, SystemModel
from connectors.journal import connector as journal
from connectors.odata.connector import connector as odata
from connectors.postgres import connector as postgres
from connectors.tryton.connector import connector as tryton
from tests.docs.pages import page

CONNECTORS: dict[str, Any] = {
    "postgres": postgres,
    "journal": journal,
    "odata": odata,
    "tryton": tryton,
}
_ROW = re.compile(r"^\| `(\w+)`(?:, `(\w+)`)? \| (.*?) \|(?: (.*?) \|)?$", re.MULTILINE)


def fields(model: type[BaseModel]) -> Iterator[tuple[str, FieldInfo]]:
    """Each field of a model and of those within it, by the name that stands in the file."""
    for name, field in model.model_fields.items():
        yield field.alias or name, field
        for inner in within(field.annotation):
            yield from fields(inner)


def within(kind: Any) -> Iterator[type[BaseModel]]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield kind
    for inner in get_args(kind):
        yield from within(inner)


def is_documented(name: str, *names: str) -> bool:
    """Whether one of the pages names an option: in code, by itself or as a key."""
    word = re.compile(rf"(?<![\w.-])(?:{re.escape(name)})(?![\w-])")
    return any(
        word.search(code)
        for page_name in names
        for code in [*page(page_name).inline(), *(block.text for block in page(page_name).blocks())]
    )


@pytest.mark.parametrize("model", [BridgeModel, SystemModel])
def test_every_key_of_the_files_is_documented(model: type[BaseModel]) -> None:
    names = {name for name, _ in fields(model)}
    assert len(names) > 5
    left_out = {
        key for key in names if not is_documented(key, "docs/configuration.md", "docs/kafka.md")
    }
    assert left_out == set()


@pytest.mark.parametrize("connector", CONNECTORS)
def test_every_option_of_a_connector_is_documented(connector: str) -> None:
    kind = CONNECTORS[connector]
    models = [model for model in (kind.options, getattr(kind, "login", None)) if model is not None]
    names = {name for model in models for name, _ in fields(model)}
    assert {model for model in names if not is_documented(model, f"docs/{connector}.md")} == set()


@pytest.mark.parametrize("connector", CONNECTORS)
def test_the_defaults_in_the_table_of_options_are_those_of_the_code(connector: str) -> None:
    text = page(f"docs/{connector}.md").text
    documented = {row[0]: row[2] for row in _ROW.findall(text.partition("| `capture:` |")[2])}
    of = CONNECTORS[connector].options.model_fields
    assert of.keys() <= documented.keys()
    for name, field in of.items():
        default = field.default
        if documented[name] and isinstance(default, int | float):
            assert documented[name] == f"{default:g}", name
        elif isinstance(default, str) and default:
            assert documented[name] == f"`{default}`", name


def test_the_defaults_in_the_table_of_the_bridge_file_are_those_of_the_code() -> None:
    text = page("docs/configuration.md").text.partition("## systems/NAME.yaml")[0]
    documented = {row[0]: row[3] for row in _ROW.findall(text)}
    for name, field in BridgeModel.model_fields.items():
        default = (
            "required" if field.is_required() else field.get_default(call_default_factory=True)
        )
        if isinstance(default, BaseModel):
            keys = ", ".join(f"{key}: {value}" for key, value in default)
            default = f"{{{keys}}}"
        if default is None:
            continue  # It is made from others.
        default_text = {"required": "required", (): "none"}.get(
            tuple(default) if isinstance(default, (list, dict)) else default
        )
        if default_text is None:
            value = default[0] if isinstance(default, list) else default
            default_text = f"`{value}`" if isinstance(value, str) else str(value)
        assert documented[name] == default_text, name

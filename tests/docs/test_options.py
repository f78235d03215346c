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


def said(name: str, *names: str) -> bool:
    """Whether one of the pages names an option: in code, by itself or as a key."""
    word = re.compile(rf"(?<![\w.-])(?:{re.escape(name)})(?![\w-])")
    return any(
        word.search(code)
        for one in names
        for code in [*page(one).inline(), *(block.text for block in page(one).blocks())]
    )


@pytest.mark.parametrize("model", [BridgeModel, SystemModel])
def test_every_key_of_the_files_is_documented(model: type[BaseModel]) -> None:
    names = {name for name, _ in fields(model)}
    assert len(names) > 5
    left_out = {one for one in names if not said(one, "docs/configuration.md", "docs/kafka.md")}
    assert left_out == set()


@pytest.mark.parametrize("connector", CONNECTORS)
def test_every_option_of_a_connector_is_documented(connector: str) -> None:
    kind = CONNECTORS[connector]
    models = [one for one in (kind.options, getattr(kind, "login", None)) if one is not None]
    names = {name for model in models for name, _ in fields(model)}
    assert {one for one in names if not said(one, f"docs/{connector}.md")} == set()


@pytest.mark.parametrize("connector", CONNECTORS)
def test_the_defaults_in_the_table_of_options_are_those_of_the_code(connector: str) -> None:
    text = page(f"docs/{connector}.md").text
    told = {row[0]: row[2] for row in _ROW.findall(text.partition("| `capture:` |")[2])}
    of = CONNECTORS[connector].options.model_fields
    assert of.keys() <= told.keys()
    for name, field in of.items():
        default = field.default
        if told[name] and isinstance(default, int | float):
            assert told[name] == f"{default:g}", name
        elif isinstance(default, str) and default:
            assert told[name] == f"`{default}`", name


def test_the_defaults_in_the_table_of_the_bridge_file_are_those_of_the_code() -> None:
    told = {row[0]: row[3] for row in _ROW.findall(page("docs/configuration.md").text)}
    for name, field in BridgeModel.model_fields.items():
        default = (
            "required" if field.is_required() else field.get_default(call_default_factory=True)
        )
        shown = {"required": "required", (): "none"}.get(
            tuple(default) if isinstance(default, list) else default
        )
        if shown is None:
            one = default[0] if isinstance(default, list) else default
            shown = f"`{one}`" if isinstance(one, str) else str(one)
        assert told[name] == shown, name

"""Which keys a file may have at a path, according to its models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, get_args, get_origin

from pydantic import BaseModel, RootModel

from bridge.config.document import KeyPath


def nearest_key(annotation: Any, where: KeyPath) -> str | None:
    """The known key that resembles the last one of `where`; None if none does. `annotation`: the
    whole file's. Pure.
    """
    keys = sorted(_keys(_inside(list(_parts(annotation)), where[:-1])))
    near = get_close_matches(str(where[-1]), keys, 1)
    return near[0] if near else None


def has_key(annotation: Any, where: KeyPath) -> bool:
    """Whether a file may have the key at `where`; `annotation`: the whole file's. Pure."""
    return str(where[-1]) in _keys(_inside(list(_parts(annotation)), where[:-1]))


def _parts(annotation: Any) -> Iterator[Any]:
    """An annotation, and the members of its unions and `Annotated`."""
    origin = get_origin(annotation)
    if isinstance(annotation, type) and issubclass(annotation, RootModel):
        yield from _parts(annotation.model_fields["root"].annotation)
    elif origin in {dict, list, tuple, Mapping} or not get_args(annotation):
        yield annotation
    else:
        for part in get_args(annotation):
            yield from _parts(part)


def _inside(parts: list[Any], where: KeyPath) -> list[Any]:
    for name in where:
        inner: list[Any] = []
        for part in parts:
            if get_args(part):
                # The values of a mapping, the items of a list.
                inner += _parts(get_args(part)[-1])
            elif isinstance(part, type) and issubclass(part, BaseModel):
                for own, item in part.model_fields.items():
                    if name in {own, item.alias, item.validation_alias}:
                        inner += _parts(item.annotation)
        parts = inner
    return parts


def _keys(parts: list[Any]) -> set[str]:
    return {
        item.alias or own
        for part in parts
        if isinstance(part, type) and issubclass(part, BaseModel)
        for own, item in part.model_fields.items()
    }

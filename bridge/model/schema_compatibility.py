"""Whether a new schema may follow the earlier ones of its subject.

Backward: data written with an old schema can be read with the new one, with the same meaning.
Registries ignore logical types and allow fields to be removed; this check is stricter and runs
first. A key's schema never changes, because its id is part of the key's bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, Final

import fastavro

from bridge.model.canonical import canonical_json, sha256_hex
from bridge.model.errors import Rejected

KEY_SUFFIX: Final = "-key"

#: Lossless promotions: written type -> types that can read it.
_WIDER: Final = {("int", "long"), ("int", "double"), ("float", "double")}
_MEANING: Final = {
    "timestamp-millis": "a timestamp in milliseconds",
    "timestamp-micros": "a timestamp in microseconds",
    "timestamp-nanos": "a timestamp in nanoseconds",
    "local-timestamp-millis": "a local time in milliseconds",
    "local-timestamp-micros": "a local time in microseconds",
    "local-timestamp-nanos": "a local time in nanoseconds",
    "time-millis": "a time of day in milliseconds",
    "time-micros": "a time of day in microseconds",
}


def fingerprint(text: str) -> str:
    """The same for schemas that differ only in blanks and the order of attributes."""
    return sha256_hex(json.loads(text))


def valid(subject: str, text: str) -> str:
    """The fingerprint of `text`. Raises Rejected (`invalid_schema`) if it isn't a schema."""
    try:
        fastavro.parse_schema(json.loads(text))
    except (ValueError, fastavro.schema.SchemaParseException) as error:
        raise Rejected("invalid_schema", f"{subject}: not an Avro schema: {error}") from error
    except (KeyError, TypeError, RecursionError) as error:
        # JSON so unlike a schema that fastavro fails with other errors.
        why = f"not an Avro schema ({type(error).__name__}: {error})"
        raise Rejected("invalid_schema", f"{subject}: {why}") from error
    return fingerprint(text)


def check(subject: str, text: str, earlier: Iterable[str]) -> None:
    """Raise Rejected (`incompatible_schema`) with every reason why `text` may not follow.

    `earlier` are the texts of all versions, oldest first.
    """
    reasons: dict[str, None] = {}
    for number, old in enumerate(earlier, 1):
        for reason in incompatibilities(json.loads(old), json.loads(text), subject):
            reasons.setdefault(f"{reason} (version {number})")
    if reasons:
        raise Rejected("incompatible_schema", f"{subject}: {'; '.join(reasons)}")


def incompatibilities(old: Any, new: Any, subject: str = "") -> list[str]:
    """Why `new` may not follow `old`, one sentence each; empty when it may."""
    if subject.endswith(KEY_SUFFIX):
        if canonical_json(old) == canonical_json(new):
            return []
        was, now = canonical_json(old), canonical_json(new)
        reason = f"a key's schema never changes, but {was} would become {now}"
        return [f"{reason}: use a new entity name"]
    return list(_Comparison().compare(old, new, "", ("", "")))


class _Comparison:
    """One comparison: the named types that it has met on both sides."""

    def __init__(self) -> None:
        self._old: dict[str, Any] = {}
        self._new: dict[str, Any] = {}
        self._met: set[tuple[str, str]] = set()

    def compare(self, old: Any, new: Any, where: str, space: tuple[str, str]) -> Iterator[str]:
        """Reasons, with the path of the field that each is about."""
        old, old_name = _resolved(old, self._old, space[0])
        new, new_name = _resolved(new, self._new, space[1])
        if old_name and new_name:
            if (old_name, new_name) in self._met:
                return
            self._met.add((old_name, new_name))
        space = (_space(old_name) or space[0], _space(new_name) or space[1])
        if isinstance(old, list) or isinstance(new, list):
            yield from self._unions(old, new, where, space)
            return
        kind, other = _kind(old), _kind(new)
        if _logical(old) or _logical(new):
            yield from _logical_reasons(old, new, where)
        elif kind != other:
            if (kind, other) not in _WIDER:
                yield f"{_at(where)} was {_describe(old)} and would become {_describe(new)}"
        elif kind == "record":
            yield from self._records(old, new, where, space)
        elif kind in {"array", "map"}:
            inside = "items" if kind == "array" else "values"
            yield from self.compare(old[inside], new[inside], f"{where}[]", space)
        elif kind == "enum":
            yield from _enum_reasons(old, new, where)
        elif kind == "fixed" and (old_name, old["size"]) != (new_name, new["size"]):
            yield f"{_at(where)} was {_describe(old)} and would become {_describe(new)}"

    def _records(self, old: Any, new: Any, where: str, space: tuple[str, str]) -> Iterator[str]:
        if old["name"].rpartition(".")[2] != new["name"].rpartition(".")[2]:
            yield f"{_at(where)} was record {old['name']} and would become {new['name']}"
            return
        now = {field["name"]: field for field in new["fields"]}
        was = {field["name"] for field in old["fields"]}
        for field in old["fields"]:
            path = f"{where}.{field['name']}" if where else field["name"]
            if field["name"] in now:
                yield from self.compare(field["type"], now[field["name"]]["type"], path, space)
            else:
                yield f"{_at(path)} is gone: keep it, as null, so that old readers keep working"
        for name, field in now.items():
            if name not in was and "default" not in field:
                path = f"{where}.{name}" if where else name
                yield f"{_at(path)} is new and has no default"

    def _unions(self, old: Any, new: Any, where: str, space: tuple[str, str]) -> Iterator[str]:
        branches = new if isinstance(new, list) else [new]
        olds = old if isinstance(old, list) else [old]
        for branch in olds:
            tries = [
                list(self._alone().compare(branch, candidate, where, space))
                for candidate in branches
            ]
            if not all(tries):
                continue
            # The real change is in the branch of the same kind, or in the only new one.
            kinds = {self._kind_of(each, self._old) for each in olds}
            kind = self._kind_of(branch, self._old)
            theirs = [self._kind_of(candidate, self._new) for candidate in branches]
            fresh = [at for at, other in enumerate(theirs) if other not in kinds]
            if kind in theirs:
                yield from tries[theirs.index(kind)]
            elif len(fresh) == 1:
                yield from tries[fresh[0]]
            else:
                yield f"{_at(where)} could be {_describe(branch)} and can't any more"
        for side, named_types in ((old, self._old), (new, self._new)):
            for branch in side if isinstance(side, list) else [side]:
                _learn(branch, named_types, space[0] if side is old else space[1])

    def _alone(self) -> _Comparison:
        """Branches are compared separately: named types met in one don't apply to the next."""
        copy = _Comparison()
        copy._old, copy._new, copy._met = dict(self._old), dict(self._new), set(self._met)
        return copy

    def _kind_of(self, schema: Any, named_types: dict[str, Any]) -> str:
        return _kind(named_types.get(schema, schema)) if isinstance(schema, str) else _kind(schema)


def _resolved(schema: Any, named_types: dict[str, Any], space: str) -> tuple[Any, str]:
    """The schema that a name stands for, and its full name (empty for unnamed types)."""
    if isinstance(schema, str):
        for name in (schema, f"{space}.{schema}"):
            if name in named_types:
                return named_types[name], name
        return schema, ""
    return schema, _learn(schema, named_types, space)


def _learn(schema: Any, named_types: dict[str, Any], space: str) -> str:
    """Remember a named type, and those inside; its full name."""
    if isinstance(schema, list):
        for branch in schema:
            _learn(branch, named_types, space)
        return ""
    if not isinstance(schema, dict):
        return ""
    name = ""
    if "name" in schema and schema["type"] in {"record", "enum", "fixed"}:
        spaced = "." in schema["name"]
        inside = schema.get("namespace", space)
        name = schema["name"] if spaced or not inside else f"{inside}.{schema['name']}"
        named_types[name] = schema
        space = _space(name)
    for field in schema.get("fields", ()):
        _learn(field["type"], named_types, space)
    for part in ("items", "values"):
        if part in schema:
            _learn(schema[part], named_types, space)
    return name


def _space(name: str) -> str:
    return name.rpartition(".")[0]


def _kind(schema: Any) -> str:
    if isinstance(schema, list):
        return "union"
    if isinstance(schema, dict):
        kind = schema["type"]
        return kind if isinstance(kind, str) else _kind(kind)
    return str(schema)


def _logical(schema: Any) -> str:
    return str(schema.get("logicalType", "")) if isinstance(schema, dict) else ""


def _logical_reasons(old: Any, new: Any, where: str) -> Iterator[str]:
    was, now = _logical(old), _logical(new)
    if was != now or _kind(old) != _kind(new):
        yield f"{_at(where)} was {_describe(old)} and would become {_describe(new)}"
    elif was == "decimal":
        if old.get("scale", 0) != new.get("scale", 0):
            yield (
                f"{_at(where)} had {old.get('scale', 0)} decimal places and would have "
                f"{new.get('scale', 0)}"
            )
        if new["precision"] < old["precision"]:
            yield (
                f"{_at(where)} had {old['precision']} digits and would have only {new['precision']}"
            )


def _enum_reasons(old: Any, new: Any, where: str) -> Iterator[str]:
    gone = [symbol for symbol in old["symbols"] if symbol not in new["symbols"]]
    if gone:
        yield f"{_at(where)} loses {', '.join(gone)}"


def _describe(schema: Any) -> str:
    logical = _logical(schema)
    if logical == "decimal":
        return f"decimal({schema['precision']},{schema.get('scale', 0)})"
    return _MEANING.get(logical) or logical or _kind(schema)


def _at(where: str) -> str:
    return f"field {where!r}" if where else "the schema"

"""What a new form of an entity may differ in, so that what reads the old events goes on.

Registries don't look at logical types, so this is asked first.
"""

from __future__ import annotations

from bridge.model.avro import key_schema
from bridge.model.types import Entity, FieldType


def incompatibilities(old: Entity, new: Entity) -> list[str]:
    """Why `new` may not follow `old` in a topic, one sentence each; empty when it may."""
    if key_schema(old) != key_schema(new):
        was, now = _shown(old), _shown(new)
        return [f"its key was ({was}) and would become ({now}); a topic's key never changes"]
    known = {field.name: field.type for field in new.fields}
    reasons = []
    for field in old.fields:
        kind = known.get(field.name)
        if kind is None:
            reasons.append(f"field {field.name!r} ({field.type}) is gone")
        elif not follows(field.type, kind):
            reasons.append(f"field {field.name!r} was {field.type} and would become {kind}")
    return reasons


def follows(old: FieldType, new: FieldType) -> bool:
    """Whether values of `old` can be read as `new`, exactly."""
    if old == new:
        return True
    if old.kind == new.kind == "decimal":
        return old.scale == new.scale and old.precision <= new.precision
    if old.item is not None and new.item is not None:
        return follows(old.item, new.item)
    return (old.kind, new.kind) == ("float", "double")


def _shown(entity: Entity) -> str:
    return ", ".join(f"{name} {entity.field(name).type}" for name in entity.key)

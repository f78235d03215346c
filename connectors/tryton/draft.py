"""Writes a systems file from what the ERP has. Pure: YAML text, what is left out in comments."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from bridge.model.names import as_name
from connectors.erp.yaml_text import commands_heading, comment_lines, left_out_lines, yaml_scalar
from connectors.tryton.discovery import DescribedModel, DiscoveredModels
from connectors.tryton.metadata.model import ID, VERSION, ModelField

_BESIDE = frozenset({"rec_name", "xml_id", "last_modified_at", "create_uid", "write_uid"})
"""Of every model, and of use to hardly anybody."""
_MOST_CHOICES = 8
_VERSION = "version"
_AFTER: Mapping[tuple[str, str], Sequence[str]] = {
    ("sale.sale", "quote"): ("quotation", "confirmed", "processing", "done"),
    ("sale.sale", "confirm"): ("confirmed", "processing", "done"),
    ("sale.sale", "process"): ("processing", "done"),
    ("sale.sale", "cancel"): ("cancelled",),
    ("sale.sale", "draft"): ("draft",),
    ("purchase.purchase", "quote"): ("quotation", "confirmed", "processing", "done"),
    ("purchase.purchase", "confirm"): ("confirmed", "processing", "done"),
    ("purchase.purchase", "process"): ("processing", "done"),
    ("purchase.purchase", "cancel"): ("cancelled",),
    ("purchase.purchase", "draft"): ("draft",),
    ("stock.move", "do"): ("done",),
    ("stock.move", "cancel"): ("cancelled",),
    ("account.invoice", "validate_invoice"): ("validated", "posted", "paid"),
    ("account.invoice", "post"): ("posted", "paid"),
    ("account.invoice", "cancel"): ("cancelled",),
}
"""States in which one finds a row whose button was pressed: by them a lost answer is settled."""


@dataclass(slots=True)
class _DraftedModel:
    """A model under the names that it gets."""

    name: str
    of: DescribedModel
    fields: dict[str, str] = field(default_factory=dict)

    def stored(self) -> list[ModelField]:
        """The fields that are declared."""
        return [self.of.model.fields[name] for name in self.fields if name != VERSION]

    def declares(self, name: str) -> bool:
        """Whether the field stands in the file, and not in a comment."""
        each = self.of.model.fields.get(name)
        return name in self.fields and each is not None and not (each.computed or _large(each))


def _large(each: ModelField) -> bool:
    return each.kind == "binary"


def draft(survey: DiscoveredModels) -> str:
    """The file from `capture:` on."""
    entities = _named(survey)
    lines = [*_capture(), "", "entities:"]
    for one in entities.values():
        lines += _entity(one, entities)
    lines += left_out_lines(survey.refused)
    lines += _commands(entities)
    return "\n".join(lines) + "\n"


def _capture() -> list[str]:
    return [
        "# How changes are noticed: Tryton keeps for each row when it was made and last written.",
        "capture:",
        "  poll: 2         # seconds between two looks for changes",
        "  overlap: 300    # seconds that a transaction of the ERP may last",
        "  reconcile: 600  # seconds between two looks for deletions that nothing tells",
    ]


def _named(survey: DiscoveredModels) -> dict[str, _DraftedModel]:
    found: dict[str, _DraftedModel] = {}
    names: set[str] = set()
    for key, one in survey.models.items():
        entity = _DraftedModel(as_name(_short(key), names), one)
        names.add(entity.name)
        taken = {"id", _VERSION}
        for name in one.model.fields:
            if name in _BESIDE:
                continue
            fixed = {ID: "id", VERSION: _VERSION}.get(name)
            entity.fields[name] = fixed or as_name(name, taken)
            taken.add(entity.fields[name])
        found[key] = entity
    return found


def _short(model: str) -> str:
    """`sale` for `sale.sale`: many a model is called like its module."""
    first, _, rest = model.partition(".")
    return first if rest == first else model


# -- entities ------------------------------------------------------------------------------


def _entity(one: _DraftedModel, entities: Mapping[str, _DraftedModel]) -> Iterator[str]:
    yield f"  {one.name}:"
    yield f"    from: {yaml_scalar(one.of.model.name)}"
    yield "    key: [id]"
    yield "    fields:"
    for each in one.stored():
        if one.declares(each.name):
            yield _field(one, each)
    yield f"      {_VERSION}: {{from: {VERSION}, type: string}}  # raised by every change of the row"
    yield from _aside("Computed, so a change of these alone is not noticed:", one, computed=True)
    yield from _aside("Files, which may be larger than the log takes:", one, computed=False)
    for why, names in _left_out(one.of).items():
        yield from comment_lines(f"Left out, {why}: {', '.join(names)}", 6)
    yield f"    version: {_VERSION}"
    yield from _relations(one, entities)


def _aside(why: str, one: _DraftedModel, *, computed: bool) -> Iterator[str]:
    """Fields that stand there to be uncommented."""
    kept = [each for each in one.stored() if each.computed == computed]
    found = [each for each in kept if not one.declares(each.name)]
    if found:
        yield f"      # {why}"
    for each in found:
        yield f"      # {_field(one, each).lstrip()}"


def _left_out(of: DescribedModel) -> dict[str, list[str]]:
    """Fields by the reason why the bridge can't use them; lists stand among the relations."""
    found: dict[str, list[str]] = {}
    for name, why in of.model.left_out.items():
        if name not in _BESIDE and name not in of.model.lists:
            found.setdefault(why, []).append(name)
    return found


def _field(one: _DraftedModel, each: ModelField) -> str:
    kind = str(each.type)
    quoted = json.dumps(kind) if "(" in kind else kind
    told = [each.label, f"({each.native})"]
    if each.choices:
        told.append(", ".join(each.choices[:_MOST_CHOICES]))
        told[-1] += ", ..." if len(each.choices) > _MOST_CHOICES else ""
    said = " ".join(part for part in " ".join(told).split() if part)
    return f"      {one.fields[each.name]}: {{from: {yaml_scalar(each.name)}, type: {quoted}}}  # {said}"


def _relations(one: _DraftedModel, entities: Mapping[str, _DraftedModel]) -> Iterator[str]:
    found: dict[str, str] = {}
    elsewhere: set[str] = set()
    for each in one.stored():
        if each.kind not in {"many2one", "one2one"} or not one.declares(each.name):
            continue
        if each.relation in entities:
            to = entities[each.relation].name
            found[as_name(each.name, found)] = f"{{entity: {to}, from: {one.fields[each.name]}}}"
        else:
            elsewhere.add(each.relation)
    # Several lists of the same rows: the others are a part of them.
    for of in sorted(one.of.model.lists.values(), key=lambda of: (len(of.name), of.name)):
        other = entities.get(of.relation)
        back = other.of.model.fields.get(of.by) if other and of.by else None
        if other is None or back is None or back.kind != "many2one" or not other.declares(of.by):
            continue
        said = f"{{entity: {other.name}, by: {other.fields[of.by]}}}"
        if said not in found.values():
            found[as_name(of.name, found)] = said
    if found:
        yield "    relations:"
    for name, said in found.items():
        yield f"      {name}: {said}"
    if elsewhere:
        yield from comment_lines(
            f"Other models that it leads to: {', '.join(sorted(elsewhere))}. Name them with "
            "--entities to have them here.",
            6 if found else 4,
        )


# -- commands ------------------------------------------------------------------------------


def _commands(entities: Mapping[str, _DraftedModel]) -> Iterator[str]:
    lines = [line for one in entities.values() for line in _of(one, entities)]
    if not lines:
        return
    yield from commands_heading(
        "A button that opens a window in Tryton's client does nothing from here; without `probe:`",
        "a command whose answer was lost waits for `bridgectl commands settle`.",
    )
    yield from lines


def _of(one: _DraftedModel, entities: Mapping[str, _DraftedModel]) -> Iterator[str]:
    model = one.of.model
    if model.name == "sale.sale" and "party.party" in entities:
        yield "#   order_for_party:"
        yield f"#     entity: {entities['party.party'].name}"
        yield "#     args:"
        yield '#       comment: {type: "string", required: false}'
        yield '#     run: "CREATE sale.sale party=:key, reference=:id, comment=:comment"'
        yield '#     probe: "FIND sale.sale reference=:id"'
    if "comment" in model.fields and one.of.buttons:
        yield f"#   note_{one.name}:"
        yield f"#     entity: {one.name}"
        yield "#     args:"
        yield '#       comment: {type: "string"}'
        yield f'#     run: "WRITE {model.name}(:key) comment=:comment"'
    for button, label in one.of.buttons.items():
        yield f"#   {as_name(f'{button}_{one.name}')}:  # {label}".rstrip(" #")
        yield f"#     entity: {one.name}"
        yield f'#     run: "BUTTON {model.name}(:key)/{button}"'
        after = _after(one, button)
        if after:
            yield f'#     probe: "FIND {model.name}(:key) state=[{after}]"'


def _after(one: _DraftedModel, button: str) -> str:
    state = one.of.model.fields.get("state")
    states = _AFTER.get((one.of.model.name, button), ())
    return ", ".join(f"'{name}'" for name in states if state and name in state.choices)

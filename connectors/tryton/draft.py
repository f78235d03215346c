"""Writes a system file from the ERP's models. Pure: YAML text, with left-out things in comments."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from bridge.model.names import as_name
from connectors.erp.yaml_text import commands_heading, comment_lines, left_out_lines, yaml_scalar
from connectors.tryton.discovery import DescribedModel, DiscoveredModels
from connectors.tryton.metadata.model import ID, VERSION, ModelField, ModelList, TrytonModel

_UNUSED_FIELDS = frozenset({"rec_name", "xml_id", "last_modified_at", "create_uid", "write_uid"})
"""Fields of every model that hardly anybody needs."""
_MOST_CHOICES = 8
_VERSION = "version"
_STATES_AFTER: Mapping[tuple[str, str], Sequence[str]] = {
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
"""States of a row after its button was pressed, for the probe of a lost answer."""


@dataclass(slots=True)
class _DraftedModel:
    """A model with its names in the draft: `fields` by the model's own names."""

    name: str
    described: DescribedModel
    fields: dict[str, str] = field(default_factory=dict)

    def stored(self) -> list[ModelField]:
        """The fields that are declared, or named in a comment."""
        return [self.described.model.fields[name] for name in self.fields if name != VERSION]

    def declares(self, name: str) -> bool:
        """Whether the field is in the file, and not in a comment."""
        model_field = self.described.model.fields.get(name)
        if name not in self.fields or model_field is None:
            return False
        return not (model_field.computed or _is_large(model_field))


def _is_large(model_field: ModelField) -> bool:
    return model_field.tryton_type == "binary"


def draft(discovered: DiscoveredModels) -> str:
    """The file from `capture:` on."""
    models = _named(discovered)
    lines = [*_capture(), "", "entities:"]
    for drafted in models.values():
        lines += _entity(drafted, models)
    lines += left_out_lines(discovered.refused)
    lines += _commands(models)
    return "\n".join(lines) + "\n"


def _capture() -> list[str]:
    return [
        "# How changes are detected: Tryton stores for each row when it was created and last written.",
        "capture:",
        "  poll: 2         # seconds between two polls",
        "  overlap: 300    # seconds that a transaction of the ERP may last",
        "  reconcile: 600  # seconds between two listings of all ids, for deletions that no log has",
    ]


def _named(discovered: DiscoveredModels) -> dict[str, _DraftedModel]:
    models: dict[str, _DraftedModel] = {}
    entity_names: set[str] = set()
    for model_name, described in discovered.models.items():
        drafted = _DraftedModel(as_name(_short(model_name), entity_names), described)
        entity_names.add(drafted.name)
        taken = {"id", _VERSION}
        for name in described.model.fields:
            if name in _UNUSED_FIELDS:
                continue
            fixed = {ID: "id", VERSION: _VERSION}.get(name)
            drafted.fields[name] = fixed or as_name(name, taken)
            taken.add(drafted.fields[name])
        models[model_name] = drafted
    return models


def _short(model: str) -> str:
    """`sale` for `sale.sale`: many models have the name of their module."""
    first, _, rest = model.partition(".")
    return first if rest == first else model


# -- entities ------------------------------------------------------------------------------


def _entity(drafted: _DraftedModel, models: Mapping[str, _DraftedModel]) -> Iterator[str]:
    yield f"  {drafted.name}:"
    yield f"    from: {yaml_scalar(drafted.described.model.name)}"
    yield "    key: [id]"
    yield "    fields:"
    for model_field in drafted.stored():
        if drafted.declares(model_field.name):
            yield _field(drafted, model_field)
    yield f"      {_VERSION}: {{from: {VERSION}, type: string}}  # raised by every change of the row"
    yield from _commented_fields(
        "Computed, so a change of these alone is not noticed:", drafted, computed=True
    )
    yield from _commented_fields(
        "Files, which may be larger than the log allows:", drafted, computed=False
    )
    for reason, names in _left_out(drafted.described).items():
        yield from comment_lines(f"Left out, {reason}: {', '.join(names)}", 6)
    yield f"    version: {_VERSION}"
    yield from _relations(drafted, models)


def _commented_fields(heading: str, drafted: _DraftedModel, *, computed: bool) -> Iterator[str]:
    """Fields in comments, to be uncommented."""
    commented = [
        model_field
        for model_field in drafted.stored()
        if model_field.computed == computed and not drafted.declares(model_field.name)
    ]
    if commented:
        yield f"      # {heading}"
    for model_field in commented:
        yield f"      # {_field(drafted, model_field).lstrip()}"


def _left_out(described: DescribedModel) -> dict[str, list[str]]:
    """Fields by the reason why the bridge can't use them; lists are among the relations."""
    names_by_reason: dict[str, list[str]] = {}
    for name, reason in described.model.left_out.items():
        if name not in _UNUSED_FIELDS and name not in described.model.lists:
            names_by_reason.setdefault(reason, []).append(name)
    return names_by_reason


def _field(drafted: _DraftedModel, model_field: ModelField) -> str:
    type_text = str(model_field.type)
    quoted = json.dumps(type_text) if "(" in type_text else type_text
    notes = [model_field.label, f"({model_field.native})"]
    if model_field.choices:
        notes.append(", ".join(model_field.choices[:_MOST_CHOICES]))
        notes[-1] += ", ..." if len(model_field.choices) > _MOST_CHOICES else ""
    comment = " ".join(" ".join(notes).split())
    name, source = drafted.fields[model_field.name], yaml_scalar(model_field.name)
    return f"      {name}: {{from: {source}, type: {quoted}}}  # {comment}"


def _relations(drafted: _DraftedModel, models: Mapping[str, _DraftedModel]) -> Iterator[str]:
    relations: dict[str, str] = {}
    undeclared: set[str] = set()
    for model_field in drafted.stored():
        leads_on = model_field.tryton_type in {"many2one", "one2one"}
        if not leads_on or not drafted.declares(model_field.name):
            continue
        if model_field.relation in models:
            target = models[model_field.relation].name
            source = drafted.fields[model_field.name]
            name = as_name(model_field.name, relations)
            relations[name] = f"{{entity: {target}, from: {source}}}"
        else:
            undeclared.add(model_field.relation)
    # Several lists of the same rows: the others are a part of them.
    lists = drafted.described.model.lists.values()
    for list_field in sorted(lists, key=lambda each: (len(each.name), each.name)):
        relation = _list_relation(list_field, models)
        if relation and relation not in relations.values():
            relations[as_name(list_field.name, relations)] = relation
    if relations:
        yield "    relations:"
    for name, relation in relations.items():
        yield f"      {name}: {relation}"
    if undeclared:
        yield from comment_lines(
            f"Other models that it refers to: {', '.join(sorted(undeclared))}. Name them with "
            "--entities to have them here.",
            6 if relations else 4,
        )


def _list_relation(list_field: ModelList, models: Mapping[str, _DraftedModel]) -> str:
    """The relation to the rows of a list, by their field that leads back; empty where that isn't
    declared.
    """
    target = models.get(list_field.relation)
    if target is None or not list_field.back_field:
        return ""
    back = target.described.model.fields.get(list_field.back_field)
    if back is None or back.tryton_type != "many2one" or not target.declares(back.name):
        return ""
    return f"{{entity: {target.name}, by: {target.fields[back.name]}}}"


# -- commands ------------------------------------------------------------------------------


def _commands(models: Mapping[str, _DraftedModel]) -> Iterator[str]:
    lines = [line for drafted in models.values() for line in _commands_of(drafted, models)]
    if not lines:
        return
    yield from commands_heading(
        "A button that opens a window in Tryton's client does nothing from here; without `probe:`",
        "a command whose answer was lost waits for `bridgectl commands settle`.",
    )
    yield from lines


def _commands_of(drafted: _DraftedModel, models: Mapping[str, _DraftedModel]) -> Iterator[str]:
    model, buttons = drafted.described.model, drafted.described.buttons
    if model.name == "sale.sale" and "party.party" in models:
        yield "#   order_for_party:"
        yield f"#     entity: {models['party.party'].name}"
        yield "#     args:"
        yield '#       comment: {type: "string", required: false}'
        yield '#     run: "CREATE sale.sale party=:key, reference=:id, comment=:comment"'
        yield '#     probe: "FIND sale.sale reference=:id"'
    if "comment" in model.fields and buttons:
        yield f"#   note_{drafted.name}:"
        yield f"#     entity: {drafted.name}"
        yield "#     args:"
        yield '#       comment: {type: "string"}'
        yield f'#     run: "WRITE {model.name}(:key) comment=:comment"'
    for button, label in buttons.items():
        yield f"#   {as_name(f'{button}_{drafted.name}')}:  # {label}".rstrip(" #")
        yield f"#     entity: {drafted.name}"
        yield f'#     run: "BUTTON {model.name}(:key)/{button}"'
        states = _states_after(model, button)
        if states:
            yield f'#     probe: "FIND {model.name}(:key) state=[{states}]"'


def _states_after(model: TrytonModel, button: str) -> str:
    state = model.fields.get("state")
    states = _STATES_AFTER.get((model.name, button), ())
    return ", ".join(f"'{name}'" for name in states if state and name in state.choices)

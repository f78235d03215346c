"""What is done to docstrings between the source and the page; read by mkdocs.yml."""

from __future__ import annotations

from typing import Any

import griffe

from tests.docs.site.field_lists import field_lists, with_types


class FieldLists(griffe.Extension):  # type: ignore[misc]
    """Rewrites the docstrings of a package once it is loaded."""

    def on_package(self, *, pkg: Any, loader: Any, **_options: Any) -> None:
        """Called by griffe."""
        del loader
        _rewrite(pkg)


def _rewrite(described: Any) -> None:
    if described.docstring is not None:
        names = {*described.members}
        if described.is_class or described.is_function:
            names |= {parameter.name for parameter in described.parameters}
        text = field_lists(described.docstring.value, names)
        if described.is_class and not _shows_fields(described):
            text = with_types(text, _undocumented_fields(described))
        described.docstring.value = text
    for member in described.members.values():
        if not member.is_alias:
            if described.is_module and _is_type(member):
                member.docstring = griffe.Docstring("A type.", parent=member)
            _rewrite(member)


def _shows_fields(described: Any) -> bool:
    """Whether the signature of a class has its fields with their types."""
    return any("dataclass" in str(decorator.value) for decorator in described.decorators)


def _undocumented_fields(described: Any) -> dict[str, str]:
    """Fields without a docstring of their own, which pages leave out, with their types."""
    return {
        name: str(member.annotation)
        for name, member in described.members.items()
        if member.is_attribute
        and not name.startswith("_")
        and member.docstring is None
        and member.annotation is not None
        and "property" not in member.labels
    }


def _is_type(member: Any) -> bool:
    """Whether a name of a module without a docstring stands for a type."""
    return bool(
        member.is_attribute
        and member.docstring is None
        and member.name[0].isupper()
        and not member.name.isupper()
    )

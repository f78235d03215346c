"""What is done to docstrings between the source and the page; read by mkdocs.yml."""

from __future__ import annotations

from typing import Any

import griffe

from tests.docs.site.field_lists import field_lists


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
        described.docstring.value = field_lists(described.docstring.value, names)
    for member in described.members.values():
        if not member.is_alias:
            _rewrite(member)

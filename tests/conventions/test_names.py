"""Names say what they hold, and a class name means one class."""

from __future__ import annotations

from collections import defaultdict

from tests.conventions.sources import bound_names, shared_classes

#: They say how a value was come by, or nothing.
BANNED = frozenset(
    (
        *("told", "found", "known", "made", "given", "got", "said", "asked", "shown"),
        *("there", "one", "some", "place"),
    )
)
#: Where Cython isn't installed, a class of that name answers for the module.
STANDS_FOR_A_MODULE = {"cython"}


def test_no_name_says_only_how_its_value_was_come_by() -> None:
    assert [str(bound) for bound in bound_names(BANNED)] == []


def test_a_class_name_is_unique_or_private_to_its_file() -> None:
    files = defaultdict(list)
    for bound in shared_classes():
        if not bound.name.startswith("_") and bound.name not in STANDS_FOR_A_MODULE:
            files[bound.name].append(f"{bound.file}:{bound.line}")
    assert {name: where for name, where in files.items() if len(where) > 1} == {}

"""What is imported is declared, and what is pinned is wanted."""

import ast
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OURS = {"bridge", "connectors"}


def names(requirements: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(each).name) for each in requirements}


def imported(folder: Path) -> Iterator[tuple[str, str]]:
    """Each module that files of a folder import at their top, by its first name, and by whom."""
    for path in sorted(folder.rglob("*.py")):
        for node in ast.parse(path.read_text()).body:
            found = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                found = [node.module]
            for name in found:
                yield name.partition(".")[0], str(path.relative_to(ROOT))


#: Files that nothing imports at its top, and the extra whose driver they are of.
OF_A_DRIVER = {"connectors/sql/sent_values.py": "postgres"}


@pytest.mark.parametrize(
    ("folder", "extras"),
    [
        ("bridge/kit", ["kit"]),
        ("bridge/log/kafka", ["kafka"]),
        ("connectors/postgres", ["postgres"]),
        ("connectors/journal", []),
        ("connectors/sql", []),
        ("bridge/model", []),
    ],
)
def test_what_a_folder_needs_comes_with_its_extra(folder: str, extras: list[str]) -> None:
    known = names(PROJECT["dependencies"])
    for extra in extras:
        known |= names(PROJECT["optional-dependencies"][extra])
    places = packages_distributions()
    missing = {
        (name, path)
        for name, path in imported(ROOT / folder)
        if name not in sys.stdlib_module_names | OURS
        and not (known | _of_driver(path))
        & {canonicalize_name(each) for each in places.get(name, [name])}
    }
    assert missing == set()


def _of_driver(path: str) -> set[str]:
    extra = OF_A_DRIVER.get(path)
    return names(PROJECT["optional-dependencies"][extra]) if extra else set()


@pytest.mark.parametrize("path", OF_A_DRIVER)
def test_a_file_of_a_driver_is_imported_by_nothing_at_its_top(path: str) -> None:
    """Where the driver isn't installed, its neighbours are imported all the same."""
    module = path.removesuffix(".py").replace("/", ".")
    folder, name = module.rpartition(".")[::2]
    for file in (ROOT / path).parents[1].rglob("*.py"):
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.Import):
                assert module not in {each.name for each in node.names}, file
            if isinstance(node, ast.ImportFrom):
                assert node.module != module, file
                assert not (node.module == folder and name in {n.name for n in node.names}), file


def test_every_dependency_is_pinned() -> None:
    pinned = names((ROOT / "constraints.txt").read_text().splitlines())
    wanted = names(PROJECT["dependencies"])
    for extra in PROJECT["optional-dependencies"].values():
        wanted |= names(extra)
    assert wanted - pinned - {"legacy-bridge", "setuptools"} == set()

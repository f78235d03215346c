"""What is imported is declared, locked by its hash, and of a licence that permits it."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import distribution, distributions, packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.locks import lock_text, locked_versions

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OURS = {"bridge", "connectors"}


def names(requirements: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(each).name) for each in requirements}


def imported(folder: Path) -> Iterator[tuple[str, str]]:
    """Each module that files of a folder import at their top, by its first name, and by whom."""
    for path in sorted(folder.rglob("*.py")):
        for node in ast.parse(path.read_text()).body:
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                modules = [node.module]
            for name in modules:
                yield name.partition(".")[0], str(path.relative_to(ROOT))


#: Files that nothing imports at its top, and the extra whose driver they are of.
OF_A_DRIVER = {"connectors/sql/postgres/sent_values.py": "postgres"}


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
    declared = names(PROJECT["dependencies"])
    for extra in extras:
        declared |= names(PROJECT["optional-dependencies"][extra])
    distributions_of = packages_distributions()
    missing = {
        (name, path)
        for name, path in imported(ROOT / folder)
        if name not in sys.stdlib_module_names | OURS
        and not (declared | _of_driver(path))
        & {canonicalize_name(each) for each in distributions_of.get(name, [name])}
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


def wanted(*extras: str) -> set[str]:
    requirements = list(PROJECT["dependencies"])
    for extra in extras:
        requirements += PROJECT["optional-dependencies"][extra]
    return names(requirements) - {"legacy-bridge"}


def test_every_dependency_is_locked() -> None:
    developed = set(PROJECT["optional-dependencies"]) - {"docs"}
    assert wanted(*developed) <= locked_versions("dev").keys()
    assert wanted("docs") <= locked_versions("docs").keys()
    assert wanted("kafka", "postgres", "odbc") <= locked_versions("runtime").keys()


def test_what_runs_is_what_was_tested() -> None:
    tested = locked_versions("dev")
    for lock in ("runtime", "build"):
        assert locked_versions(lock).items() <= tested.items(), lock


def test_what_makes_the_site_changes_no_version_of_what_is_tested() -> None:
    tested = locked_versions("dev")
    shared = {name: each for name, each in locked_versions("docs").items() if name in tested}
    assert {"click", "pydantic"} <= shared.keys()
    assert shared.items() <= tested.items()


@pytest.mark.parametrize("lock", ["runtime", "build", "dev", "docs"])
def test_a_lock_has_the_hash_of_each_file_and_no_address(lock: str) -> None:
    text = lock_text(lock)
    assert "://" not in text
    assert "--index" not in text
    requirements = re.split(r"\n(?! )", text.strip())
    assert len(requirements) == len(locked_versions(lock))
    for requirement in requirements:
        assert "--hash=sha256:" in requirement


def test_what_is_installed_is_of_the_lock() -> None:
    versions = locked_versions("dev")
    installed: dict[str, str] = {
        canonicalize_name(each.name): each.version for each in distributions()
    }
    of_the_project = wanted("all", "dev", "kit") & installed.keys()
    assert {name: installed[name] for name in of_the_project} == {
        name: versions[name] for name in of_the_project
    }


#: What a licence's text or SPDX expression may name. LGPL is used unchanged and by import only.
PERMITTED = re.compile(
    r"\b(MIT|Apache|BSD|ISC|PSF|Python Software Foundation|MPL|Mozilla|LGPL|Lesser|Unlicense|0BSD)"
)
FORBIDDEN = re.compile(r"\bA?GPL|(?<!Lesser )\bGeneral Public License")


def licence(name: str) -> str:
    """What a distribution says of its licence: expression, else classifiers, else its first words."""
    metadata = distribution(name).metadata
    expression = " ".join(metadata.get_all("License-Expression") or [])
    classifiers = [
        text for text in metadata.get_all("Classifier") or [] if text.startswith("License")
    ]
    return expression or " ".join(classifiers) or " ".join(metadata.get_all("License") or [])[:80]


def test_the_licence_of_whatever_is_shipped_with_the_bridge_permits_it() -> None:
    here = {canonicalize_name(each.name) for each in distributions()}
    shipped = locked_versions("runtime").keys() & here
    assert {"aiokafka", "psycopg", "sqlalchemy"} <= shipped
    for name in shipped:
        text = licence(name)
        assert PERMITTED.search(text), f"{name}: {text!r}"
        assert not FORBIDDEN.search(text), f"{name}: {text!r}"

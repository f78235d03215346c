"""`bridgectl connector`: creates a connector project from a template that passes the suite."""

from __future__ import annotations

import keyword
import re
import shutil
import sys
from pathlib import Path

import click

TEMPLATE = "ticketdesk"
_NAME = re.compile(r"[a-z][a-z0-9_]{1,39}")
_TEXT_FILES = {".py", ".toml", ".md"}


@click.group(epilog="Example: bridgectl connector new acme_crm")
def command() -> None:
    """Begin a connector to a system of yours; list those that are installed."""


@command.command(epilog="Example: bridgectl connector new acme_crm --folder connectors/acme_crm")
@click.argument("name")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where to.  [default: ./NAME]",
)
def new(name: str, folder: Path | None) -> None:
    """Write a whole small connector called NAME, with its test by the suite, into a new folder.

    It polls a made-up system over HTTP, and its tests pass unchanged. Replace that system by yours
    file by file; README.md in the folder says in which order.
    """
    from bridge.model.errors import ConfigurationError
    from bridge.resources import data_folder

    _check_name(name)
    folder = folder or Path(name)
    if folder.exists():
        raise ConfigurationError(f"{folder} already exists: choose another folder with --folder")
    skip = shutil.ignore_patterns("__pycache__", ".*", "*.egg-info")
    shutil.copytree(data_folder("examples") / "connector", folder, ignore=skip)
    (folder / TEMPLATE).rename(folder / name)
    (folder / "tests" / f"test_{TEMPLATE}.py").rename(folder / "tests" / f"test_{name}.py")
    for path in folder.rglob("*"):
        if path.suffix in _TEXT_FILES:
            path.write_text(_renamed(path.read_text(encoding="utf-8"), name), encoding="utf-8")
    click.echo(f"{folder} is a connector that passes its tests:")
    click.echo(
        f"  cd {folder}\n  pip install -e '.[test]'\n  pytest\nREADME.md says how to continue."
    )


@command.command("list", epilog="Example: bridgectl connector list")
def list_() -> None:
    """List the connectors that are installed, with the package that each is from."""
    from importlib.metadata import entry_points

    for point in sorted(entry_points(group="bridge.connectors"), key=lambda point: point.name):
        package = "" if point.dist is None else f"{point.dist.name} {point.dist.version}"
        click.echo(f"{point.name:<16} {package}")


def _check_name(name: str) -> None:
    """Raises UsageError unless the name is valid as a package, an entry point and a YAML word."""
    from importlib.metadata import entry_points

    from bridge.model.errors import ConfigurationError

    if not _NAME.fullmatch(name):
        raise ConfigurationError(
            f"{name!r} is not a valid connector name: use 2 to 40 lower-case letters, digits and "
            "underscores, "
            "starting with a letter"
        )
    if keyword.iskeyword(name) or name in sys.stdlib_module_names | {
        "bridge",
        "connectors",
        "tests",
    }:
        raise ConfigurationError(
            f"{name!r} is taken by Python or by the bridge: choose another name"
        )
    if name in entry_points(group="bridge.connectors").names:
        raise ConfigurationError(f"a connector {name!r} is already installed: choose another name")


def _renamed(text: str, name: str) -> str:
    """The template's text with the connector's name in each of its spellings."""
    camel = "".join(part.capitalize() for part in name.split("_"))
    text = text.replace(f"legacy-bridge-{TEMPLATE}", f"legacy-bridge-{name.replace('_', '-')}")
    return text.replace(TEMPLATE.capitalize(), camel).replace(TEMPLATE, name)

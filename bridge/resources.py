"""Where the data files of the package are: `schemas/` and `examples/`.

A wheel carries both inside `bridge`; in a checkout (and in an editable installation, to which the
build's mapping doesn't apply) they are beside it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from bridge.model.errors import ConfigurationError


def data_folder(name: Literal["schemas", "examples"]) -> Path:
    """The folder of that name. Raises ConfigurationError if the installation doesn't contain it."""
    package = Path(__file__).resolve().parent
    for folder in (package / name, package.parent / name):
        if folder.is_dir():
            return folder
    raise ConfigurationError(
        f"the installed package has no folder {name!r} (looked in {package} and beside it): "
        "install legacy-bridge again"
    )

"""Where the data that ships with the package stands: `schemas/` and `examples/`.

A wheel carries both inside `bridge`; in a checkout (and an editable installation, which the
mapping of the build does not reach) they stand beside it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from bridge.model.errors import ConfigurationError


def data_folder(name: Literal["schemas", "examples"]) -> Path:
    """The folder of that name. Raises ConfigurationError when it is missing in the installation."""
    package = Path(__file__).resolve().parent
    for folder in (package / name, package.parent / name):
        if folder.is_dir():
            return folder
    raise ConfigurationError(
        f"the installed package has no folder {name!r} (looked in {package} and beside it): "
        "install legacy-bridge again"
    )

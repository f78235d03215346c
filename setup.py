"""What pyproject.toml cannot say: data folders mapped into the wheel, and the compiled modules.

The compiled modules are ordinary Python files that Cython can compile (C types stand in the
`.pxd` beside them). They are optional: without a compiler, or without Cython, the same files
run interpreted. `BRIDGE_BUILD=interpreted` skips them, `BRIDGE_BUILD=compiled` makes a failure
to compile fatal.
"""

import os
import sys
from pathlib import Path

from setuptools import Extension, find_packages, setup

COMPILED = (
    "bridge/plan/execute.py",
    "bridge/log/kafka/pack.py",
    "connectors/postgres/protocol/frames.py",
    "bridge/gateway/waiters.py",
    "bridge/agent/held_rows.py",
    "bridge/ports/held_entry.py",
)
DATA = ("schemas", "examples")
MODE = os.environ.get("BRIDGE_BUILD", "auto")


def extensions() -> list[Extension]:
    """The compiled modules whose files are there, as C; without those that Cython refuses."""
    if MODE == "interpreted":
        return []
    return [modules for path in COMPILED if Path(path).exists() for modules in as_c(path)]


def as_c(path: str) -> list[Extension]:
    """One Python file as a C extension, or nothing where it cannot be made."""
    try:
        from Cython.Build import cythonize
        from Cython.Compiler.Errors import CompileError
    except ImportError:
        if MODE == "compiled":
            raise
        return []
    if not Path(path).with_suffix(".pxd").exists():
        # Without its C types the file would compile into something that isn't whole.
        return []
    name = path.removesuffix(".py").replace("/", ".")
    # Flags of one's own win: the compiler takes the last level that it is told.
    flags = ["-O3"] if os.name == "posix" and "CFLAGS" not in os.environ else []
    try:
        files: list[Extension] = cythonize(
            [Extension(name, [path], extra_compile_args=flags)],
            build_dir="build/cython",
            # C types come from the `.pxd` alone, so that annotations mean the same in both forms.
            compiler_directives={"language_level": 3, "annotation_typing": False},
        )
    except CompileError:
        if MODE == "compiled":
            raise
        return []
    for extension in files:
        extension.optional = MODE != "compiled"  # `cythonize` drops it
    return files


# An editable installation is one path to this folder, where `schemas/` and `examples/` stand
# for themselves; only a wheel carries them inside `bridge`.
editable = "editable_wheel" in sys.argv
data = [] if editable else [folder for folder in DATA if Path(folder).is_dir()]

setup(
    packages=[
        *find_packages(include=["bridge", "bridge.*", "connectors", "connectors.*"]),
        *(f"bridge.{folder}" for folder in data),
    ],
    package_dir={"": ".", **{f"bridge.{folder}": folder for folder in data}},
    package_data={"bridge": ["py.typed"], **{f"bridge.{folder}": ["**/*"] for folder in data}},
    # `var` is what running an example leaves: its log, and a password.
    exclude_package_data={"": ["**/__pycache__/*", "*.pyc", "**/var/*"]},
    include_package_data=False,
    ext_modules=extensions(),
)

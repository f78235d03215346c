"""The executor and the frame decoder in both of their forms, side by side."""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.module_forms import load_module
from tests.services import permission

ROOT = Path(__file__).parents[2]
SOURCES = ("bridge", "connectors", "setup.py", "pyproject.toml", "README.md", "LICENSE")
#: What `make build` compiled: the sum and the path of each file.
BUILT = ROOT / ".make" / "build"
TESTED = ("bridge/plan/execute", "connectors/postgres/protocol/frames")


def made_already() -> list[Path]:
    """The modules that `make build` compiled; none, if the sources aren't those any more."""
    sums = [line.split() for line in BUILT.read_text().splitlines()] if BUILT.exists() else []
    same = all(hashlib.sha256((ROOT / path).read_bytes()).hexdigest() == was for was, path in sums)
    built_paths = {path for _, path in sums}
    modules = [path for name in TESTED for path in ROOT.glob(f"{name}.*.so")]
    complete = built_paths >= {f"{name}.py" for name in TESTED} and len(modules) == len(TESTED)
    return modules if same and complete else []


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the compiled modules of exactly these sources in it."""
    modules = made_already()
    if modules:
        # Copied, because a library that is loaded already would not be loaded once more.
        folder = tmp_path_factory.mktemp("compiled")
        for path in modules:
            copy = folder / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
        return folder
    return compile_here(tmp_path_factory)


def compile_here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources, compiled."""
    if shutil.which(os.environ.get("CC", "cc")) is None or not importlib.util.find_spec("Cython"):
        reason = "the compiled form needs a C compiler and Cython: apt-get install gcc, pip install cython"
        if os.environ.get("CI", "").lower() in {"true", "1"}:
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("compiled")
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(
                source, folder / name, ignore=shutil.ignore_patterns("*.so", "*.c", "__pycache__")
            )
        elif source.exists():
            shutil.copy(source, folder / name)
    with permission.granted():
        build = subprocess.run(
            [sys.executable, "setup.py", "-q", "build_ext", "--inplace"],
            cwd=folder,
            env={**os.environ, "BRIDGE_BUILD": "compiled", "CFLAGS": "-O1"},
            capture_output=True,
            text=True,
            check=False,
        )
    assert build.returncode == 0, build.stdout + build.stderr
    return folder


def only(folder: Path, pattern: str) -> Path:
    """The one file of this pattern."""
    [file] = folder.glob(pattern)
    return file


@pytest.fixture(scope="session")
def compiled(built: Path) -> ModuleType:
    """bridge.plan.execute, compiled."""
    return load_module("bridge.plan.execute", only(built, "bridge/plan/execute*.so"))


@pytest.fixture(scope="session")
def compiled_frames(built: Path) -> ModuleType:
    """connectors.postgres.protocol.frames, compiled."""
    return load_module(
        "connectors.postgres.protocol.frames",
        only(built, "connectors/postgres/protocol/frames*.so"),
    )


@pytest.fixture(scope="session")
def interpreted() -> ModuleType:
    """bridge.plan.execute as the plain Python that it also is."""
    return load_module("bridge_plan_execute_interpreted", ROOT / "bridge/plan/execute.py")


@pytest.fixture(scope="session")
def interpreted_frames() -> ModuleType:
    """connectors.postgres.protocol.frames as the plain Python that it also is."""
    return load_module(
        "connectors_postgres_frames_interpreted", ROOT / "connectors/postgres/protocol/frames.py"
    )


@pytest.fixture(params=["interpreted", "compiled"])
def form(request: pytest.FixtureRequest) -> Any:
    """bridge.plan.execute in each of its forms."""
    return request.getfixturevalue(request.param)


@pytest.fixture(params=["interpreted_frames", "compiled_frames"])
def frames_form(request: pytest.FixtureRequest) -> Any:
    """connectors.postgres.protocol.frames in each of its forms."""
    return request.getfixturevalue(request.param)

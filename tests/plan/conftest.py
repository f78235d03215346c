"""The executor and the frame decoder in both of their forms, side by side."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = ("bridge", "connectors", "setup.py", "pyproject.toml", "README.md", "LICENSE")


def load(name: str, path: Path) -> ModuleType:
    """A module from a file, beside the one that is imported under that name."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources with the compiled modules of exactly these sources in it."""
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
    made = subprocess.run(
        [sys.executable, "setup.py", "-q", "build_ext", "--inplace"],
        cwd=folder,
        env={**os.environ, "BRIDGE_BUILD": "compiled", "CFLAGS": "-O1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    return folder


def only(folder: Path, pattern: str) -> Path:
    """The one file of this pattern."""
    [found] = folder.glob(pattern)
    return found


@pytest.fixture(scope="session")
def compiled(built: Path) -> ModuleType:
    """bridge.plan.execute, compiled."""
    return load("bridge.plan.execute", only(built, "bridge/plan/execute*.so"))


@pytest.fixture(scope="session")
def compiled_frames(built: Path) -> ModuleType:
    """connectors.postgres.frames, compiled."""
    return load("connectors.postgres.frames", only(built, "connectors/postgres/frames*.so"))


@pytest.fixture(scope="session")
def interpreted() -> ModuleType:
    """bridge.plan.execute as the plain Python that it also is."""
    return load("bridge_plan_execute_interpreted", ROOT / "bridge/plan/execute.py")


@pytest.fixture(scope="session")
def interpreted_frames() -> ModuleType:
    """connectors.postgres.frames as the plain Python that it also is."""
    return load("connectors_postgres_frames_interpreted", ROOT / "connectors/postgres/frames.py")


@pytest.fixture(params=["interpreted", "compiled"])
def form(request: pytest.FixtureRequest) -> Any:
    """bridge.plan.execute in each of its forms."""
    return request.getfixturevalue(request.param)


@pytest.fixture(params=["interpreted_frames", "compiled_frames"])
def frames_form(request: pytest.FixtureRequest) -> Any:
    """connectors.postgres.frames in each of its forms."""
    return request.getfixturevalue(request.param)

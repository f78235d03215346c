"""`bridgectl` in a folder that was deleted under the shell, as happens after a fresh clone or unpack."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.bridge_folder import PROGRAM

START = "import os, sys; os.rmdir(os.getcwd()); os.execv(sys.argv[1], sys.argv[1:])"


@pytest.mark.usefixtures("processes")
@pytest.mark.parametrize(
    "words",
    [
        ("check",),
        ("run",),
        ("log", "topics"),
        ("demo",),
        ("schema", "import", "journal", "sqlite:///erp.db"),
    ],
    ids=lambda words: words[0],
)
def test_it_is_a_sentence(tmp_path: Path, words: tuple[str, ...]) -> None:
    (tmp_path / "gone").mkdir()
    answer = subprocess.run(
        [sys.executable, "-c", START, str(PROGRAM), *words],
        cwd=tmp_path / "gone",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert answer.returncode in {1, 2}
    assert "Traceback" not in answer.stderr
    assert "the folder that bridgectl was started in" in answer.stdout + answer.stderr

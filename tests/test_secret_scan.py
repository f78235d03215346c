"""The scan for secrets fails a test in which one gets out, and no other one."""

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

LEAKING = """\
import base64, logging, subprocess, sys
from urllib.parse import quote
from tests.secret_scan import MARKER, holds_secret, secret

PASSWORD = secret("p/w")

def test_printed(): print("the password is", PASSWORD)
def test_logged(): logging.getLogger("x").warning("sent %s", quote(PASSWORD, safe=""))
def test_cut(): print(("x" * 380 + PASSWORD)[:400])
def test_entities(): print("".join(f"&#{ord(sign)};" for sign in PASSWORD))
def test_stored(tmp_path): (tmp_path / "log").write_bytes(b"\\0" + PASSWORD.encode())
def test_below(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").write_bytes(base64.b64encode(b"bridge:" + PASSWORD.encode()))
def test_process(tmp_path):
    program = tmp_path / "bridgectl"
    program.write_text("#!/bin/sh\\nprintf 'Zq7xTest%s\\n' SecretX9vK >&2\\n")
    program.chmod(0o755)
    subprocess.run([program], capture_output=True, check=True)
def test_inside():
    import click
    from click.testing import CliRunner
    CliRunner().invoke(click.command()(lambda: click.echo(PASSWORD)), [])
"""
CLEAN = """\
import subprocess, sys
from tests.secret_scan import holds_secret, secret

def test_nothing(tmp_path): (tmp_path / "log").write_text("***")
def test_where_it_belongs(tmp_path):
    holds_secret(tmp_path / "passwords.yaml").write_text(secret("x"))
    (tmp_path / "password").write_text(secret("x"))
def test_data_of_a_server(tmp_path):
    (tmp_path / "PG_VERSION").touch()
    (tmp_path / "base").write_text(secret("x"))
def test_other_programs(): subprocess.run(["echo", secret("x")], capture_output=True, check=True)
"""


@pytest.mark.usefixtures("processes")
def test_a_secret_that_gets_out_fails_its_test(tmp_path: Path) -> None:
    (tmp_path / "test_leaking.py").write_text(LEAKING)
    (tmp_path / "test_clean.py").write_text(CLEAN)
    # Its folders are not this test's, which is scanned, too.
    with tempfile.TemporaryDirectory() as base:
        done = run_tests(tmp_path, Path(base) / "t")
    assert "8 failed, 4 passed" in done.stdout, done.stdout + done.stderr
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
    assert all("test_leaking.py" in line for line in failed)


def run_tests(folder: Path, base: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [
            *(
                sys.executable,
                "-m",
                "pytest",
                "-q",
                "-p",
                "tests.secret_scan",
                "-p",
                "no:cacheprovider",
            ),
            *("-c", "/dev/null", "--rootdir", str(folder), "--basetemp", str(base)),
            str(folder),
        ],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )

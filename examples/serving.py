"""What the starters of the examples share: installing once, and serving until Ctrl-C."""

import fcntl
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
from rich.console import Console

console = Console(highlight=False, soft_wrap=True)


def cache():
    """The folder that outlives a checkout."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "legacy-bridge"


def installed(name, what, install):
    """The cache's folder of that name, which `install(folder)` fills the first time.

    It appears only when it is complete, and one process at a time makes it.
    """
    folder = cache() / name
    if folder.is_dir():
        return folder
    cache().mkdir(parents=True, exist_ok=True)
    with (cache() / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            console.print(f"Installing {what} into {folder}, this once.")
            with tempfile.TemporaryDirectory(dir=cache()) as scratch, console.status("installing"):
                unfinished = Path(scratch) / name
                unfinished.mkdir()
                try:
                    install(unfinished)
                except (OSError, subprocess.CalledProcessError) as error:
                    raise SystemExit(f"{what} could not be installed: {error}") from None
                unfinished.rename(folder)
    return folder


def password(file):
    """The password of the bridge's user: drawn at the first start, and kept where only you read."""
    if not file.exists():
        file.parent.mkdir(exist_ok=True)
        with os.fdopen(os.open(file, os.O_CREAT | os.O_WRONLY, 0o600), "w") as text:
            text.write(secrets.token_urlsafe(18))
    return file.read_text()


@contextmanager
def running(argv, folder, env, log, ready):
    """A server, from the time that it answers at `ready` until the end of the block."""
    with log.open("ab") as output:
        # A session of its own: Ctrl-C is for the starter, which ends its programs in order.
        server = subprocess.Popen(
            argv, cwd=folder, env=env, stdout=output, stderr=output, start_new_session=True
        )
    try:
        until = time.monotonic() + 60
        while not answers(ready):
            if server.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"{argv[0]} did not start; {log} says why")
            time.sleep(0.1)
        yield ready
    finally:
        server.terminate()
        server.wait()


def run_users(argv, env):
    """The users' program, which doesn't end by itself."""
    users = subprocess.Popen(argv, env=env, start_new_session=True)
    try:
        raise SystemExit(f"the users have left with {users.wait()}")
    finally:
        users.terminate()
        users.wait()


def answers(url):
    """Whether a server answers there, be it with a refusal."""
    try:
        httpx.get(url, timeout=5, trust_env=False)
    except httpx.TransportError:
        return False
    return True


@contextmanager
def in_order():
    """Ctrl-C and SIGTERM leave the block, and are no error."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        yield
    except KeyboardInterrupt:
        console.print("\nEnded. What was entered is kept for the next start.")

"""Starts the ERP and its users: `python -m examples.tryton.start`, until Ctrl-C.

Tryton comes from PyPI, once, into an environment of its own outside of the checkout: it is under
the GPL, runs as a program by itself, and nothing of the bridge imports it.
"""

import argparse
import hashlib
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from examples.serving import answers, console, in_order, installed, password, run_users, running
from examples.tryton import company
from examples.tryton.rpc import ErpRpc
from examples.tryton.users import Clerk

HERE = Path(__file__).parent
VAR = HERE / "var"
PACKAGES = ("trytond~=8.2.0", "trytond-sale~=8.2.0")
CONFIGURATION = """\
[database]
uri = sqlite://
path = {folder}
[web]
listen = 127.0.0.1:{port}
"""


def name() -> str:
    """Of the cache's folder: by what it is made of."""
    company_file = Path(company.__file__).read_bytes()
    digest = hashlib.sha256(" ".join(PACKAGES).encode() + company_file)
    return f"tryton-example-{digest.hexdigest()[:12]}"


def install(folder: Path) -> None:
    """The environment `venv`, and the database `erp.sqlite` of a company that can sell."""
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
    pip = [*python(folder), "pip", "install", "-q", *PACKAGES]
    subprocess.run(pip, check=True)
    database, admin = folder / "erp.sqlite", password(folder / "password")
    database.touch()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = written(folder, port)
    words = ["-d", "erp", "--email", "admin@example.com", "-u", "sale", "--activate-dependencies"]
    subprocess.run(
        [*python(folder), "trytond.cli.admin", "-c", settings, *words],
        env={**os.environ, "TRYTONPASSFILE": str(folder / "password")},
        stdin=subprocess.DEVNULL,
        check=True,
    )
    with served(folder, folder, port) as url:
        company.enter(ErpRpc(url, "admin", admin), admin)
        for customer, wanted in company.FIRST:
            Clerk(url, admin).quote(customer, **wanted)
    # The content of the write-ahead log moves into the file, which is copied alone.
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def python(installation):
    return [str(installation / "venv" / "bin" / "python"), "-m"]


def written(folder, port):
    """The ERP's settings, in its folder."""
    file = folder / "trytond.conf"
    file.write_text(CONFIGURATION.format(folder=folder, port=port))
    return str(file)


def served(installation, folder, port):
    settings = written(folder, port)
    argv = [*python(installation), "trytond.cli", "-c", settings, "-d", "erp"]
    return running(argv, folder, os.environ, folder / "erp.log", f"http://127.0.0.1:{port}/erp/")


def main():
    parser = argparse.ArgumentParser(description="Starts the ERP and its users, until Ctrl-C.")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--pause", type=float, default=3, help="seconds between the users' acts")
    parser.add_argument("--acts", type=int, default=200, help="of the users; then they only watch")
    options = parser.parse_args()
    if answers(f"http://127.0.0.1:{options.port}"):
        raise SystemExit(
            f"port {options.port} is taken: give --port, and the same port in systems/erp.yaml"
        )
    installation = installed(name(), "Tryton from PyPI", install)
    if not (VAR / "erp.sqlite").exists():
        VAR.mkdir(exist_ok=True)
        for file in ("password", "erp.sqlite"):
            shutil.copy(installation / file, VAR)
    env = {**os.environ, "PASSWORD": password(VAR / "password")}
    with served(installation, VAR, options.port) as url:
        console.print(f"Tryton serves {url}. Its users are at work; Ctrl-C ends all.")
        users = ["-m", "examples.tryton.users", url, str(options.pause), str(options.acts)]
        run_users([sys.executable, *users], env)


if __name__ == "__main__":
    with in_order():
        main()

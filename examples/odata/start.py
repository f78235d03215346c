"""Starts the ERP and its users: `python -m examples.odata.start`, until Ctrl-C.

SAP CAP comes from npm, once, into a cache outside of the checkout; it needs Node 20 or later.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from examples.serving import answers, console, in_order, installed, password, run_users, running

HERE = Path(__file__).parent
VAR = HERE / "var"


def name() -> str:
    """Of the cache's folder: by the modules' versions."""
    wanted = json.loads((HERE / "erp" / "package.json").read_text())["dependencies"]
    digest = hashlib.sha256(json.dumps(wanted, sort_keys=True).encode())
    return f"cap-{digest.hexdigest()[:12]}"


def install(folder: Path) -> None:
    """No script of any package runs, so nothing else is downloaded."""
    npm = shutil.which("npm")
    if npm is None:
        raise SystemExit("SAP CAP needs Node 20 or later with npm: install it, then start again")
    shutil.copy(HERE / "erp" / "package.json", folder)
    quiet = ["--ignore-scripts", "--no-fund", "--no-audit", "--no-package-lock", "--loglevel=error"]
    subprocess.run([npm, "install", *quiet], cwd=folder, check=True, stdout=subprocess.DEVNULL)


def main():
    parser = argparse.ArgumentParser(description="Starts the ERP and its users, until Ctrl-C.")
    parser.add_argument("--port", type=int, default=4004)
    parser.add_argument("--pause", type=float, default=3, help="seconds between the users' acts")
    parser.add_argument("--acts", type=int, default=200, help="of the users; then they only watch")
    options = parser.parse_args()
    address = f"http://127.0.0.1:{options.port}"
    if answers(address):
        raise SystemExit(f"{address} is taken: give --port, and the same port in systems/erp.yaml")
    env = {
        **os.environ,
        "NODE_PATH": str(installed(name(), "SAP CAP from npm", install) / "node_modules"),
        "NO_TELEMETRY": "true",
        "PORT": str(options.port),
        "STATE": str(VAR / "erp.json"),
        "PASSWORD": password(VAR / "password"),
    }
    url = f"{address}/odata/v4/erp/"
    users = [sys.executable, str(HERE / "users.py"), url, str(options.pause), str(options.acts)]
    server = running(["node", "server.js"], HERE / "erp", env, VAR / "erp.log", url)
    with server:
        console.print(f"SAP CAP serves {url}. Its users are at work; Ctrl-C ends all.")
        run_users(users, env)


if __name__ == "__main__":
    with in_order():
        main()

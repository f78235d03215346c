"""Make the recording, on the commit that it is to stand for: `python -m tests.recorded`.

Made again only when a stored format changes on purpose, which `docs/upgrade.md` then describes.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from tests.recorded.life import RecordedBridge, first_life, second_life
from tests.recorded.observe import whole_content
from tests.recorded.recording import ARCHIVE, CONTENT

DEMO = Path(__file__).parents[2] / "examples" / "demo"


def record(folder: Path) -> None:
    """Live the first life, keep it, live the second one, keep what is in the log then."""
    shutil.copytree(DEMO, folder, ignore=shutil.ignore_patterns("var", "__pycache__"))
    (folder / "var").mkdir()
    erp = [sys.executable, str(folder / "legacy" / "erp.py"), f"sqlite:///{folder}/var/erp.db"]
    subprocess.run([*erp, "create"], check=True)
    bridge = RecordedBridge(folder)
    first_life(bridge)
    bridge.output.unlink()
    shutil.rmtree(folder / "agents" / "__pycache__", ignore_errors=True)
    with tarfile.open(ARCHIVE, "w:xz") as archive:
        archive.add(folder, arcname=".", filter=without_owner)
    second_life(bridge)
    content = json.dumps(whole_content(folder), indent=1, sort_keys=True, ensure_ascii=False)
    CONTENT.write_text(content + "\n", encoding="utf-8")


def without_owner(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Nothing of the machine that made it."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as parent:
        record(Path(parent) / "demo")

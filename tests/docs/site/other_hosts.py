"""Fail if a page of the built site would load anything from another host: the readers of a page are
known to nobody but to whoever serves it.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Final

from tests.docs.pages import ROOT

_TAG: Final = re.compile(r"<(?:script|link|img|iframe|source|video|audio|object|embed)\b[^>]*>")
_ADDRESS: Final = re.compile(r"""\b(?:src|href|data|srcset)=["']?((?:https?:)?//[^"'\s>]+)""")
_IN_STYLES: Final = re.compile(r"""(?:url\(|@import)\s*["']?((?:https?:)?//[^"')\s]+)""")


def loaded_from_elsewhere(text: str) -> list[str]:
    """The addresses on other hosts that a page or a style sheet loads. Links for people to follow are
    none; nor is the address that a page calls its own.
    """
    tags = [tag for tag in _TAG.findall(text) if 'rel="canonical"' not in tag]
    return [
        *(address for tag in tags for address in _ADDRESS.findall(tag)),
        *_IN_STYLES.findall(text),
    ]


def main() -> int:
    """Look through the built site."""
    folder = ROOT / "site" / "html"
    paths = sorted(path for path in folder.rglob("*") if path.suffix in {".html", ".css"})
    loads = {path: loaded_from_elsewhere(path.read_text(encoding="utf-8")) for path in paths}
    for path, addresses in loads.items():
        for address in addresses:
            sys.stderr.write(f"{Path(path).relative_to(folder)} loads {address}\n")
    return int(not paths or any(loads.values()))


if __name__ == "__main__":
    sys.exit(main())

"""Fail where a built page loads anything from another host, so that only whoever serves a page knows
its readers; or where it shows Markdown as it is written, because it was not recognised.
"""

from __future__ import annotations

import html
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.docs.pages import ROOT

FOLDER: Final = ROOT / "site" / "html"
_TAG: Final = re.compile(r"<(?:script|link|img|iframe|source|video|audio|object|embed)\b[^>]*>")
_ADDRESS: Final = re.compile(r"""\b(?:src|href|data|srcset)=["']?((?:https?:)?//[^"'\s>]+)""")
_IN_STYLES: Final = re.compile(r"""(?:url\(|@import)\s*["']?((?:https?:)?//[^"')\s]+)""")
_ARTICLE: Final = re.compile(r"<article.*?</article>", re.DOTALL)
_CODE: Final = re.compile(r"<(pre|code)\b.*?</\1>", re.DOTALL)
_MARKDOWN: Final = re.compile(
    r"^ *[-*] \w.*|^\d+\. \w.*|^\|.*\||^:::.*|^#+ .*|```.*|\*\*\w.*|\]\(\S+\)", re.MULTILINE
)


def loaded_from_elsewhere(text: str) -> list[str]:
    """The addresses on other hosts that a page or a style sheet loads. Links for people to follow are
    none; nor is the address that a page calls its own.
    """
    tags = [tag for tag in _TAG.findall(text) if 'rel="canonical"' not in tag]
    return [
        *(address for tag in tags for address in _ADDRESS.findall(tag)),
        *_IN_STYLES.findall(text),
    ]


def unrecognised_markdown(page: str) -> list[str]:
    """What a page shows that was to be a list, a table, a heading, a link."""
    articles = " ".join(_ARTICLE.findall(page))
    text = re.sub(r"<[^>]+>", "", _CODE.sub("", articles))
    return _MARKDOWN.findall(html.unescape(text))


def _faults(path: Path) -> Iterator[str]:
    text = path.read_text(encoding="utf-8")
    name = path.relative_to(FOLDER)
    for address in loaded_from_elsewhere(text):
        yield f"{name} loads {address}"
    for markdown in unrecognised_markdown(text):
        yield f"{name} shows {markdown}"


def main() -> int:
    """Look through the built site."""
    paths = [path for path in FOLDER.rglob("*") if path.suffix in {".html", ".css"}]
    faults = [fault for path in sorted(paths) for fault in _faults(path)]
    sys.stderr.writelines(f"{fault}\n" for fault in faults)
    return int(not paths or bool(faults))


if __name__ == "__main__":
    sys.exit(main())

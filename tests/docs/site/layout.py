"""The folder of which the site is made: the repository's pages where they are in the repository, so
that a link means the same here and there, and the pages that are made from the program.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.docs.pages import ROOT, DocsPage, pages
from tests.docs.site.dialect import to_python_markdown
from tests.docs.site.reference.capabilities import capabilities_page
from tests.docs.site.reference.commands import commands_page
from tests.docs.site.reference.configuration import configuration_page
from tests.docs.site.reference.metrics import metrics_page
from tests.docs.site.reference.topics import topics_page

REFERENCE: Final = "docs/reference"
STYLE: Final = Path(__file__).with_name("site.css")
_LINK: Final = re.compile(r"\[([^\]]*)\]\(([^()\s#:]+)(#[^()\s]*)?\)")


def reference_pages() -> Mapping[str, str]:
    """Path -> Markdown, of the pages that are made from the program itself."""
    return {
        f"{REFERENCE}/capabilities.md": capabilities_page(),
        f"{REFERENCE}/commands.md": commands_page(),
        f"{REFERENCE}/configuration.md": configuration_page(),
        f"{REFERENCE}/metrics.md": metrics_page(),
        f"{REFERENCE}/topics.md": topics_page(),
    }


def lay_out(folder: Path) -> None:
    """Write every page of the site, and the files to which they link, into a folder of its own."""
    shutil.rmtree(folder, ignore_errors=True)
    linked: set[Path] = set()
    texts = dict(reference_pages())
    for page in pages():
        texts[page.name] = to_python_markdown(_with_links_to_files(page, linked))
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    shutil.copyfile(STYLE, folder / STYLE.name)
    for path in linked:
        copy = folder / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)


def _with_links_to_files(page: DocsPage, linked: set[Path]) -> str:
    """The text of a page; a link to a folder leads to its README, or is only its text where it has
    none. Files that are linked and are no pages are added to `linked`.
    """
    folder = (ROOT / page.name).parent

    def link(match: re.Match[str]) -> str:
        text, path, fragment = match[1], match[2], match[3] or ""
        target = Path(os.path.normpath(folder / path))
        if target.is_dir():
            if not (target / "README.md").exists():
                return text
            path = f"{path.rstrip('/')}/README.md"
        elif target.is_file() and target.suffix != ".md":
            linked.add(target)
        return f"[{text}]({path}{fragment})"

    return _LINK.sub(link, page.text)

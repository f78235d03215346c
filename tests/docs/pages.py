"""The pages for users, and what stands in them: blocks of code, inline code, headings, links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
_FENCE: Final = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INLINE: Final = re.compile(r"`([^`]+)`")
_LINK: Final = re.compile(r"\[[^\]]*\]\(([^()\s]+)\)")
_HEADING: Final = re.compile(r"^#+ (.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Block:
    """A block of code with where it stands and what follows it."""

    page: str
    line: int
    language: str
    text: str
    behind: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


@dataclass(frozen=True, slots=True)
class DocsPage:
    """A page by its path in the repository; `prose` is all of it but the blocks of code."""

    name: str
    text: str

    @property
    def prose(self) -> str:
        return _FENCE.sub("", self.text)

    def blocks(self) -> Iterator[Block]:
        for match in _FENCE.finditer(self.text):
            line = self.text.count("\n", 0, match.start()) + 1
            behind = self.text[match.end() : match.end() + 100]
            yield Block(self.name, line, match[1], match[2], behind)

    def inline(self) -> list[str]:
        """Inline code, on one line each; a paragraph's line break is a blank."""
        return [
            " ".join(code.split())
            for paragraph in self.prose.split("\n\n")
            for code in _INLINE.findall(paragraph)
        ]

    def links(self) -> list[str]:
        return _LINK.findall(self.prose)

    def anchors(self) -> set[str]:
        """The fragments that headings have on the usual forges."""
        kept = (re.sub(r"[^\w\- ]", "", title.lower()) for title in _HEADING.findall(self.prose))
        return {title.strip().replace(" ", "-") for title in kept}


@cache
def pages() -> tuple[DocsPage, ...]:
    """Every page: README, CHANGELOG, docs with their decisions, the examples' READMEs."""
    paths = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*/README.md")]
    return tuple(
        DocsPage(str(path.relative_to(ROOT)), path.read_text(encoding="utf-8"))
        for path in sorted(paths)
    )


def page(name: str) -> DocsPage:
    return next(page for page in pages() if page.name == name)


def blocks(*languages: str) -> list[Block]:
    """All blocks of code in these languages."""
    return [block for page in pages() for block in page.blocks() if block.language in languages]

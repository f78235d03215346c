"""Finds secrets in a text, in any encoding and wherever the text was cut. Pure."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from bridge.model.unescaping import unescaped

_ANCHOR_CHARACTERS: Final = 4
"""No form has fewer characters."""
_MIN_PREFIX_CHARACTERS: Final = 8
_BASE64_SIGNS: Final = frozenset(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_="
)
_MAX_BASE64_EDGE_CHARACTERS: Final = 3
_HEX_RUN: Final = re.compile(r"[0-9A-Fa-f]{8,}")
_PIECE_CHARACTERS: Final = 65_536
"""Long texts are searched in pieces of this size: unescaping takes a hundred times the memory."""
_CUTS: Final = ("...", "…")


class _AnchoredForms:
    """The forms with the same first characters. Tokens of one server are alike for dozens of
    characters, and there may be hundreds: none of this takes a step for each of them.
    """

    __slots__ = ("is_base64", "lengths", "ordered")

    def __init__(self, is_base64: dict[str, bool]) -> None:
        self.is_base64 = is_base64
        self.lengths = sorted({len(form) for form in is_base64})
        self.ordered = sorted(is_base64)

    def whole(self, text: str, start: int) -> Iterator[str]:
        """Every form that is in `text` at `start`."""
        for length in self.lengths:
            if (form := text[start : start + length]) in self.is_base64:
                yield form

    def longer(self, prefix: str) -> Iterator[str]:
        """Every form that begins with `prefix` and continues after it."""
        at = bisect_left(self.ordered, prefix)
        while at < len(self.ordered) and self.ordered[at].startswith(prefix):
            if len(self.ordered[at]) > len(prefix):
                yield self.ordered[at]
            at += 1


@dataclass(frozen=True, slots=True)
class SecretForms:
    """The forms to search for; replaced as a whole when a secret is registered. `anchors` finds
    where any of them may begin.
    """

    anchors: re.Pattern[str]
    by_anchor: dict[str, _AnchoredForms]
    longest: int


def build_forms(cache: Mapping[str, tuple[frozenset[str], frozenset[str]]]) -> SecretForms:
    by_anchor: dict[str, dict[str, bool]] = {}
    for plain, encoded in cache.values():
        for form in plain | encoded:
            anchored = by_anchor.setdefault(form[:_ANCHOR_CHARACTERS], {})
            anchored[form] = anchored.get(form, False) or form in encoded
    # By their first characters, which lets the pattern skip all places where none of them begins.
    by_first: dict[str, list[str]] = {}
    for anchor in by_anchor:
        by_first.setdefault(anchor[0], []).append(re.escape(anchor[1:]))
    pattern = "|".join(f"{re.escape(first)}(?:{'|'.join(r)})" for first, r in by_first.items())
    # One character may be escaped by twelve: as an entity, or as a pair of surrogates.
    return SecretForms(
        re.compile(pattern),
        {anchor: _AnchoredForms(anchored) for anchor, anchored in by_anchor.items()},
        12 * max(len(secret) for secret in cache),
    )


def secret_spans(text: str, forms: SecretForms) -> list[tuple[int, int]]:
    """Where secrets are in `text`: start and end of each, in order, none of them overlapping."""
    return _merged(_spans_in_pieces(text, forms))


def _spans_in_pieces(text: str, forms: SecretForms) -> Iterator[tuple[int, int]]:
    size = max(_PIECE_CHARACTERS, forms.longest)
    if len(text) <= size + forms.longest:
        yield from _spans(text, forms)
        return
    for first in range(0, len(text), size):
        before = max(0, first - forms.longest)
        for start, end in _spans(text[before : first + size + forms.longest], forms):
            # A match that begins after the piece is found whole in the next one.
            if before + start < first + size:
                yield before + start, before + end


def _spans(text: str, forms: SecretForms) -> Iterator[tuple[int, int]]:
    """Where secrets are in `text`."""
    yield from _spans_as_written(text, forms)
    lowered = _HEX_RUN.sub(lambda run: run[0].lower(), text)
    if lowered != text:
        yield from _spans_as_written(lowered, forms)
    for layer in unescaped(text):
        for start, end in _spans_as_written(layer.text, forms):
            yield layer.span(start, end)


def _spans_as_written(text: str, forms: SecretForms) -> Iterator[tuple[int, int]]:
    ends = _ends(text)
    for anchor in _anchors(text, forms):
        start = anchor.start()
        anchored = forms.by_anchor[anchor[0]]
        for form in anchored.whole(text, start):
            end = start + len(form)
            yield _whole_base64(text, start, end) if anchored.is_base64[form] else (start, end)
        for end in ends:
            if not 0 < end - start < anchored.lengths[-1]:
                continue
            if form := _cut_form(text[start:end], anchored, is_marked=end < len(text)):
                yield _whole_base64(text, start, end) if anchored.is_base64[form] else (start, end)
                break
    for start in _beginnings(text):
        if end := _cut_in_front(text, start, forms, ends):
            yield start, end


def _anchors(text: str, forms: SecretForms) -> Iterator[re.Match[str]]:
    anchor = forms.anchors.search(text)
    while anchor:
        yield anchor
        anchor = forms.anchors.search(text, anchor.start() + 1)


def _whole_base64(text: str, start: int, end: int) -> tuple[int, int]:
    """With the characters at its edges, which hold some bits of the secret, too, and its padding."""
    if start > 0 and text[start - 1] in _BASE64_SIGNS:
        start -= 1
    last = min(len(text), end + _MAX_BASE64_EDGE_CHARACTERS)
    while end < last and text[end] in _BASE64_SIGNS:
        end += 1
    return start, end


def _ends(text: str) -> list[int]:
    """Where a text may have been cut by its writer; the last position first."""
    ends = {len(text)}
    for cut in _CUTS:
        ends |= {text.find(cut), text.rfind(cut)} - {-1}
    return sorted(ends, reverse=True)


def _beginnings(text: str) -> Iterator[int]:
    """Where the rest of a text may begin if its writer omitted the first part."""
    for cut in _CUTS:
        yield from {at + len(cut) for at in (text.find(cut), text.rfind(cut)) if at >= 0}


def _cut_form(prefix: str, anchored: _AnchoredForms, *, is_marked: bool) -> str:
    """A form of which `prefix` is the first part; empty if there is none, or too little is left.
    `is_marked`: dots say that something is missing, which the end of a text does not.
    """
    if len(prefix) < (_ANCHOR_CHARACTERS if is_marked else _MIN_PREFIX_CHARACTERS):
        return ""
    for form in anchored.longer(prefix):
        if len(prefix) >= min(_MIN_PREFIX_CHARACTERS, max(_ANCHOR_CHARACTERS, len(form) // 2)):
            return form
    return ""


def _cut_in_front(text: str, start: int, forms: SecretForms, ends: list[int]) -> int:
    """Where the last part of a form ends that begins at `start`; 0 where there is none."""
    first = text[start : start + _MIN_PREFIX_CHARACTERS]
    if len(first) < _MIN_PREFIX_CHARACTERS:
        return 0
    longest = 0
    for anchored in forms.by_anchor.values():
        for form in anchored.ordered:
            at = form.find(first, 1)
            while at > 0:
                end = start + len(form) - at
                within = [end, *(cut for cut in ends if start + len(first) <= cut < end)]
                longest = max(
                    longest,
                    *(e if text[start:e] == form[at : at + e - start] else 0 for e in within),
                )
                at = form.find(first, at + 1)
    return longest


def _merged(spans: Iterator[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return merged

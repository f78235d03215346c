"""The errors of decoding an answer."""

from __future__ import annotations


class UnreadableAnswer(ValueError):
    """An answer breaks off, doesn't fit its headers, or is too large to read."""


class AnswerTooLarge(UnreadableAnswer):
    """An answer has more bytes, or more values, than are allowed."""

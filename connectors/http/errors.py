"""The errors of decoding an answer."""

from __future__ import annotations


class UnreadableAnswer(ValueError):
    """An answer breaks off, is not what its headers say, or would take too much to be read."""


class AnswerTooLarge(UnreadableAnswer):
    """An answer has more bytes, or more values, than are taken."""

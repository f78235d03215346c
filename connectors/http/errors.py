"""The one error of everything that is decoded here."""

from __future__ import annotations


class UnreadableAnswer(ValueError):
    """An answer breaks off, is not what it says it is, or would take too much to be read."""


class AnswerTooLarge(UnreadableAnswer):
    """An answer has more bytes, or more values, than are taken."""

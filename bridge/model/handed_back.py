"""Which dead letters were handed back, that is replayed or released. Pure."""

from __future__ import annotations

from bridge.model.system_records import RELEASED, DeadLetter

LetterSubject = tuple[str | None, int | None, int | None, str]


def letter_subject(letter: DeadLetter, partition: int, offset: int) -> LetterSubject:
    """The subject of a letter: the same for a parked event and for its release.

    partition, offset: of the letter itself in its topic.
    """
    if letter.offset is None:
        if letter.kind == "event" and letter.event_id:
            # Copied from another log with different offsets: the event's id is the same.
            return f"{letter.topic}#{letter.event_id}", None, None, letter.source
        return None, None, offset, f"{partition}"
    return letter.topic, letter.partition, letter.offset, letter.source


class HandedBack:
    """The subjects of letters that were handed back and not parked again since. Call `note` in the
    order of the log.
    """

    def __init__(self) -> None:
        self._subjects: set[LetterSubject] = set()

    def note(self, letter: DeadLetter, subject: LetterSubject) -> None:
        """Take the next letter, a release or another one, into account."""
        if letter.error == RELEASED:
            self._subjects.add(subject)
        else:
            # Parked again since then.
            self._subjects.discard(subject)

    def __contains__(self, subject: LetterSubject) -> bool:
        return subject in self._subjects

"""What an error's body says, however it is built."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.http.error_words import MAX_WORDS_CHARACTERS, element_text, line_of

PIECES = st.sampled_from(
    [b"<title", b">", b"</title>", b"<m:message ", b"</", b"<", b"x", b"\xff", b"title", b"message"]
)


@given(st.binary(max_size=60) | st.lists(PIECES).map(b"".join))
def test_whatever_a_body_holds_is_a_short_line(body: bytes) -> None:
    for words in (element_text(body, "title"), element_text(body, "message"), line_of(body)):
        assert len(words) <= MAX_WORDS_CHARACTERS + 3
        assert "\n" not in words


@pytest.mark.parametrize(
    ("body", "name", "words"),
    [
        (b"<html><TITLE>\n Sign  in</Title>", "title", "Sign in"),
        (b'<m:message xml:lang="en">no &lt; right</m:message>', "message", "no &lt; right"),
        (b"<innererror><message>first</message></innererror>", "message", "first"),
        (b"<titles>x</titles><title>y</title>", "title", "y"),
        (b"the title> is none", "title", ""),
        (b"<title>never ends", "title", "never ends"),
        (b"<title", "title", ""),
        (b"", "title", ""),
    ],
)
def test_the_words_of_an_element(body: bytes, name: str, words: str) -> None:
    assert element_text(body, name) == words


@pytest.mark.parametrize(
    "body",
    [b"<title>" * 60_000, b"<title " * 60_000, b"<message>" * 60_000, b"<" * 420_000, b" " * 2**24],
)
def test_a_body_that_is_made_to_take_long_does_not(body: bytes) -> None:
    """420 kB of opening tags kept the process busy for minutes: a pattern looked at each for its end."""
    began = time.process_time()
    for name in ("title", "message"):
        element_text(body, name)
    line_of(body)
    assert time.process_time() - began < 5

"""Whether the test that runs may start servers: one that is marked `unit` may not."""

from collections.abc import Iterator
from contextlib import contextmanager

HINT = (
    "a test that is marked `unit` starts no process and no server: ask for the fixture of the server, "
    "or for `processes`, or mark it"
)

refused = False


@contextmanager
def granted() -> Iterator[None]:
    """For what is made once for all tests, such as compiled modules that `make build` didn't."""
    global refused  # noqa: PLW0603 - there is one test at a time
    before, refused = refused, False
    try:
        yield
    finally:
        refused = before


class NotPermitted(Exception):
    """A test started what its markers don't say."""


def check() -> None:
    """Raise Refused unless the test that runs may start servers."""
    if refused:
        raise NotPermitted(HINT)

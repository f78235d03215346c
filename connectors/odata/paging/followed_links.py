"""Links of one walk over pages: one that leads back to an earlier page would be followed without end."""

from __future__ import annotations


class FollowedLinks:
    """The links that led to the pages of a walk, in order; "" is its first page."""

    def __init__(self) -> None:
        self._links: dict[str, None] = {}

    def at(self, link: str) -> None:
        """The walk is at that page, perhaps once more: the links after it are forgotten."""
        if link not in self._links:
            self._links = {link: None}
            return
        while next(reversed(self._links)) != link:
            self._links.popitem()

    def lead_on(self, link: str) -> bool:
        """Whether a page's link leads to a new page of the walk; then it is remembered."""
        if link in self._links:
            return False
        self._links[link] = None
        return True

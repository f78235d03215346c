"""Links of a service, without the parameters of every request. Pure.

A service whose URL has a key in the query (`?apikey=...`) repeats it in its links. Links are kept in
checkpoints, which must have no secret.
"""

from __future__ import annotations

from urllib.parse import unquote_plus, urlsplit, urlunsplit

from connectors.odata.protocol.response import EntityPage


def bare_link(link: str, query: str) -> str:
    """`link` without the parameters of `query`, however they are encoded."""
    try:
        split = urlsplit(link)
    except ValueError:
        return link  # whoever follows it says so
    own = {unquote_plus(part) for part in query.split("&") if part}
    kept = [part for part in split.query.split("&") if unquote_plus(part) not in own]
    return urlunsplit(split._replace(query="&".join(kept)))


def bare_page(page: EntityPage, query: str) -> EntityPage:
    """`page` with such links."""
    if not query or not (page.next_link or page.delta_link):
        return page
    following, delta = (
        bare_link(link, query) if link else None for link in (page.next_link, page.delta_link)
    )
    return page._replace(next_link=following, delta_link=delta)

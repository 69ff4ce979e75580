"""URLs that a provider can ask: http or https, with a host, as the client that asks them understands them.

Pure. The client's parser (yarl) is stricter than the standard library's: it has the last word here, so that what
is accepted can be asked.
"""

from __future__ import annotations

import yarl


def read_url(text: str) -> yarl.URL:
    """The URL that `text` is. Raises ValueError with a reason that does not repeat it: it may hold secrets."""
    try:
        url = yarl.URL(text)
        _ = url.port
        host = url.host or ""
        if host:
            url.with_host(host)  # reads the host again, more strictly than the constructor does
    except (ValueError, TypeError) as error:
        raise ValueError("its host or its port cannot be read") from error
    if url.scheme not in ("http", "https") or not host:
        raise ValueError("it is not http or https, or has no host")
    return url

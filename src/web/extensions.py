"""What the server tells the application, and lets it do: extensions of the ASGI scope.

https://asgi.readthedocs.io/en/latest/extensions.html
"""

from starlette.types import Receive, Scope

CLOSE_CONNECTION = "audit-trail.close-connection"
"""Has a function `close`, which closes the connection."""

OVER_CONNECTION_LIMIT = "audit-trail.over-connection-limit"
"""The request came on a connection beyond `MAX_CONNECTIONS`."""


async def close_connection(scope: Scope, receive: Receive) -> bool:
    """Close a connection whose answer cannot be finished: that tells the client. Returns False if the server cannot.

    Returns when the server has seen the disconnect; it logs an error if an application returns before its answer ends.
    """
    extension = scope.get("extensions", {}).get(CLOSE_CONNECTION)
    if extension is None:
        return False
    extension["close"]()
    while (await receive())["type"] != "http.disconnect":
        pass
    return True

"""HTTP/1.1 towards clients: bytes of a connection become `Head` and body for a site, its `Outgoing` becomes bytes.
Knows RFC 9112 and nothing of what is served."""

from imageway.server.http.host import Host
from imageway.server.http.site import Site

__all__ = ["Host", "Site"]

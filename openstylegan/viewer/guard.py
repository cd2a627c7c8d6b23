"""Who may talk to the server.

On this machine's own address, a page that another site opened in the same browser can send requests here. So the Host
must be a name of this machine (no site can make its own name lead here), a WebSocket's Origin must be that Host, and
every page needs the token that was printed, in its address or, from then on, in a cookie.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

LOCAL = frozenset({"localhost", "127.0.0.1", "[::1]"})
HEADERS = (
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src blob:; "
        b"connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
    (b"cache-control", b"no-store"),
)
"""With every answer: nothing runs or loads in the page but its own files."""


@dataclass(frozen=True)
class Guard:
    """The rules of one server. `public`: it is reached under names that cannot be known, so any Host is taken."""

    token: str
    public: bool = False

    @property
    def cookie(self) -> str:
        """The name of the cookie: another for every token, for servers on other ports share a browser's cookies."""
        return f"openstylegan-{self.token[:8]}"

    def host_allowed(self, headers: dict[bytes, bytes]) -> bool:
        """Whether a request is meant for this machine."""
        host = headers.get(b"host", b"").decode("latin-1").lower()
        return self.public or name_of(host) in LOCAL

    def origin_allowed(self, headers: dict[bytes, bytes]) -> bool:
        """Whether a WebSocket is opened by a page of this server. (Programs send no Origin; browsers always do.)"""
        origin = headers.get(b"origin")
        if origin is None:
            return True
        host = headers.get(b"host", b"").decode("latin-1").lower()
        return urlsplit(origin.decode("latin-1").lower()).netloc == host

    def token_given(self, scope: Mapping[str, Any]) -> bool:
        """Whether the right token is in the address or in the cookie."""
        given = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("token", [])
        cookies = SimpleCookie()
        try:
            cookies.load(dict(scope["headers"]).get(b"cookie", b"").decode("latin-1"))
        except CookieError:
            cookies.clear()
        if self.cookie in cookies:
            given.append(cookies[self.cookie].value)
        return any(hmac.compare_digest(text.encode(), self.token.encode()) for text in given)


def name_of(host: str) -> str:
    """A Host without its port."""
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() else host

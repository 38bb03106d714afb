"""Who may see the dashboard: checks before any page is made, and headers on all that is answered.

A browser sends requests for whatever page it shows, so being reachable from this machine alone protects nothing by
itself. Host is checked against names that lead here (a foreign name may be made to resolve to this machine: DNS
rebinding), Origin against Host (a foreign page may post: CSRF), and a token where others can reach the port.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edgeseq.errors import ConfigError

COOKIE = "edgeseq-dashboard"
SHORTEST_TOKEN = 16
"""Characters: too many to be guessed over a network."""
LOGIN, STATIC = "/login", "/static/"
"""What is shown without a token: nothing of the node."""
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})

HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # no-referrer would make the Origin of our own form "null"
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cache-control": "no-cache",
}


@dataclass(frozen=True, slots=True)
class Guard:
    """What is let in."""

    names: frozenset[str] = LOOPBACK_NAMES
    """Hosts by which the dashboard may be called, without port."""
    any_address: bool = False
    """Whether any address will do: nobody can make a foreign page have the origin of an address."""
    token: str | None = None
    key: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    """Of this process: what was handed out ends with it."""

    def pass_(self) -> str:
        """Give what a browser that has shown the token keeps in its cookie."""
        return hmac.new(self.key, (self.token or "").encode(), hashlib.sha256).hexdigest()

    def is_token(self, given: str) -> bool:
        """Tell whether somebody knows the token."""
        return self.token is not None and hmac.compare_digest(given.encode(), self.token.encode())


def read_token(path: Path) -> str:
    """Read the token. Raises ConfigError."""
    try:
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as fault:
        raise ConfigError("the token cannot be read", where=str(path), found=str(fault)) from fault
    if len(token) < SHORTEST_TOKEN:
        raise ConfigError(
            "the token is too short",
            where=str(path),
            found=f"{len(token)} characters",
            wanted=f"{SHORTEST_TOKEN} at least",
            do=f"openssl rand -hex 16 > {path}",
        )
    return token


def guard_for(address: str, names: Iterable[str], token: str | None) -> Guard:
    """Choose what is let in at a listening address.

    Raises:
        ConfigError: others can reach it, and there is no token.
    """
    names = frozenset(name.lower() for name in names)
    is_loopback = ipaddress.ip_address(address).is_loopback
    if token is None and (names or not is_loopback):
        raise ConfigError(
            "others can reach the dashboard, and nothing keeps them out",
            where=f"--listen {address}" if not is_loopback else "--name",
            wanted="a token, or 127.0.0.1 without a name",
            do="give --token-file FILE",
        )
    return Guard(LOOPBACK_NAMES | names, not is_loopback, token)


def guarded(app: ASGIApp, guard: Guard) -> ASGIApp:
    """Check each request before the application sees it, and add HEADERS to what is answered."""

    async def checked(scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request, or hand it on."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await app(scope, receive, send)
            return  # a WebSocket: there are none here

        async def with_headers(message: Message) -> None:
            """Send an answer with our headers."""
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
            await send(message)

        refused = refusal(guard, scope["method"], scope["path"], Headers(scope=scope))
        await (refused or app)(scope, receive, with_headers)

    return checked


def refusal(guard: Guard, method: str, path: str, headers: Headers) -> Response | None:
    """Say why a request is not let in, or None where it is."""
    hosts = headers.getlist("host")
    if len(hosts) != 1 or not is_ours(guard, hosts[0]):
        return PlainTextResponse("this host is not served here; name it with --name\n", 403)
    if not _is_same_origin(method, hosts[0], headers):
        return PlainTextResponse("a page of another origin asks\n", 403)
    is_public = path == LOGIN or path.startswith(STATIC)
    if guard.token is None or is_public or _has_pass(guard, headers):
        return None
    if path == "/" and method == "GET":
        return RedirectResponse(LOGIN, 303)
    return PlainTextResponse("a token is needed\n", 401, headers={"www-authenticate": "Bearer"})


def is_ours(guard: Guard, host: str) -> bool:
    """Tell whether a Host header names this dashboard; ports may differ, where a tunnel leads here.

    >>> [is_ours(Guard(), host) for host in ("localhost:8460", "[::1]", "127.0.0.1.evil.example", "10.0.0.1")]
    [True, True, False, False]
    """
    try:
        parts = urlsplit(f"//{host}")
        name = parts.hostname or ""
        _ = parts.port
    except ValueError:
        return False
    if parts.netloc != host or parts.username is not None:
        return False
    return name in guard.names or (guard.any_address and _is_address(name))


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_same_origin(method: str, host: str, headers: Headers) -> bool:
    """Tell whether a page of ours asks, or somebody who typed the address; what changes something needs the proof."""
    is_reading = method in ("GET", "HEAD")
    site = headers.get("sec-fetch-site")
    if site not in (None, "same-origin", "none") and headers.get("sec-fetch-mode") != "navigate":
        return False
    origin = headers.get("origin")
    if origin is None:
        # Browsers send it with every POST; scripts have no page that could be foreign, and show a token.
        return is_reading or "authorization" in headers
    return origin.partition("://")[2] == host


def _has_pass(guard: Guard, headers: Headers) -> bool:
    scheme, _, given = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and guard.is_token(given.strip()):
        return True
    try:
        cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return False
    return cookie is not None and hmac.compare_digest(cookie.value.encode(), guard.pass_().encode())

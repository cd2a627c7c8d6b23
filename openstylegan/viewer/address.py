"""Where the server listens, and what it needs; nothing here imports torch or the server."""

from __future__ import annotations

import importlib.util
import ipaddress
import secrets
import socket

from openstylegan.errors import InputError

PACKAGES = ("starlette", "uvicorn", "websockets")


def check_installed() -> None:
    """Raises `InputError` where a package that the viewer needs is missing."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(f"the viewer needs {', '.join(missing)}: not installed; pip install 'openstylegan[viewer]'")


def is_local(host: str) -> bool:
    """Whether only this machine can reach `host`."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def listen(host: str, port: int, public: bool) -> socket.socket:
    """A socket bound to `host` and `port` (0: any free one). Raises `InputError`, also for other machines' doors
    without `public`.
    """
    if not is_local(host) and not public:
        raise InputError(
            f"expected --host localhost, got '{host}', where other machines can connect; add --public if they should, "
            "or use an SSH tunnel"
        )
    if not 0 <= port < 65536:
        raise InputError(f"expected a --port from 0 to 65535, got {port}")
    try:
        # IPv4 first: a tunnel to 127.0.0.1 would not find what listens at ::1 alone.
        found = sorted(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM), key=lambda a: a[0] != socket.AF_INET)
        family, _, _, _, place = found[0]
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(place)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise InputError(f"cannot listen at {host}:{port} ({reason}); choose another --port or --host") from error
    return listening


def url_of(host: str, listening: socket.socket, token: str) -> str:
    """The address to be opened; by this machine's name when it listens at all of its addresses."""
    name = socket.gethostname() if host in ("0.0.0.0", "::") else host
    shown = f"[{name}]" if ":" in name else name
    return f"http://{shown}:{listening.getsockname()[1]}/?token={token}"


def new_token() -> str:
    """A token that cannot be guessed."""
    return secrets.token_urlsafe(24)

"""Which endpoints a router may listen on: TCP on this machine's loopback, as numbers, or a socket file.

Pure. Anything reachable from other machines needs encryption and authentication (CURVE), which this version does not
have, so such an endpoint is refused here, before a socket exists.
"""

from __future__ import annotations

import ipaddress

from ..client.endpoints import DEFAULT
from .errors import ConfigError

PORT_MAX = 65535
SOCKET_PATH_BYTES_MAX = 107  # sockaddr_un.sun_path holds 108 bytes with the closing zero
_IPC = "ipc://"


def is_ipc(endpoint: str) -> bool:
    """Whether it is a socket file, which only users with a right to write it can connect to."""
    return endpoint.startswith(_IPC)


def ipc_path(endpoint: str) -> str:
    """The file of an `ipc://PATH`."""
    return endpoint.removeprefix(_IPC)


def listen_of(endpoint: str, router: int) -> str:
    """The endpoint of router number `router`, made from the first one's.

    A port plus its number (0, which lets the system choose, stays 0), or a path with `.NUMBER` behind it. Raises ConfigError
    for what no router may listen on.
    """
    if is_ipc(endpoint):
        return _socket_file(endpoint, router)
    scheme, separator, address = endpoint.partition("://")
    host, colon, port = address.rpartition(":")
    if scheme != "tcp" or not (separator and colon and port.isdecimal() and port.isascii()):
        raise ConfigError(
            f"cluster.listen is {endpoint!r}, and must be tcp://HOST:PORT or ipc:///PATH, for example {DEFAULT}"
        )
    own = int(port) + router if int(port) else 0
    if own > PORT_MAX:
        needs = f"router {router} needs port {own}, and " if router else ""
        raise ConfigError(f"cluster.listen is {endpoint!r}: {needs}a port is at most {PORT_MAX}")
    return f"tcp://{_loopback(endpoint, host)}:{own}"


def _socket_file(endpoint: str, router: int) -> str:
    path = ipc_path(endpoint) + (f".{router}" if router else "")
    if not path.startswith("/"):
        raise ConfigError(f"cluster.listen is {endpoint!r}: the path of a socket file must begin with /")
    if len(path.encode()) > SOCKET_PATH_BYTES_MAX:
        raise ConfigError(f"cluster.listen is {endpoint!r}: {path} is longer than {SOCKET_PATH_BYTES_MAX} bytes")
    return _IPC + path


def _loopback(endpoint: str, host: str) -> str:
    if host == "localhost":
        return "127.0.0.1"
    try:
        address = ipaddress.IPv4Address(host)
    except ValueError:
        if host not in ("*", "::", "[::]"):
            raise ConfigError(
                f"cluster.listen is {endpoint!r}: the host must be an IPv4 address of this machine's loopback, "
                f"for example {DEFAULT}"
            ) from None
        address = ipaddress.IPv4Address("0.0.0.0")
    if not address.is_loopback:
        raise ConfigError(
            f"cluster.listen is {endpoint!r}, which other machines could reach: that needs CURVE encryption and "
            f"authentication, which this version does not have; listen on loopback, for example {DEFAULT}"
        )
    return str(address)

"""Which endpoints a router may listen on: TCP on this machine's loopback, as numbers.

Pure. Anything reachable from other machines needs encryption and authentication (CURVE), which this version does not
have, so such an endpoint is refused here, before a socket exists.
"""

from __future__ import annotations

import ipaddress

from ..client.endpoints import DEFAULT
from .errors import ConfigError

PORT_MAX = 65535


def parse_listen(endpoint: str) -> tuple[str, int]:
    """Host and port (0: the system chooses) of a `tcp://HOST:PORT` on loopback. Raises ConfigError for another."""
    scheme, separator, address = endpoint.partition("://")
    host, colon, port = address.rpartition(":")
    if scheme != "tcp" or not (separator and colon and port.isdecimal() and port.isascii()):
        raise ConfigError(f"cluster.listen is {endpoint!r}, and must be tcp://HOST:PORT, for example {DEFAULT}")
    if int(port) > PORT_MAX:
        raise ConfigError(f"cluster.listen is {endpoint!r}: a port is at most {PORT_MAX}")
    return _loopback(endpoint, host), int(port)


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


def listen_of(endpoint: str, router: int) -> str:
    """The endpoint of router number `router`: the first one's port, plus its number (0 stays 0)."""
    host, port = parse_listen(endpoint)
    return f"tcp://{host}:{port + router if port else 0}"

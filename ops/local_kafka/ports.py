"""Ports of this machine that nobody listens on."""

from __future__ import annotations

import os
import socket

from schemas.errors import ConfigError

# Below the range from which systems give out ports to outgoing connections, so that a broker
# that is stopped and started again still finds its port free.
_FIRST, _LAST = 15_000, 31_000


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen there now."""
    with socket.socket() as probe:
        # As the JVM does: a port in TIME_WAIT counts as free, a listening one doesn't.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def free_ports(count: int, first: int | None = None) -> list[int]:
    """Return `count` free ports, ascending from `first`; from a place of its own if None.

    Raises
    ------
    ConfigError
        There aren't enough up to port 65535.
    """
    # Two processes that start brokers at the same moment should not look at the same ports.
    start = _FIRST + os.getpid() * 97 % (_LAST - _FIRST) if first is None else first
    found: list[int] = []
    for port in range(start, 65_536):
        if is_free(port):
            found.append(port)
        if len(found) == count:
            return found
    raise ConfigError(f"no {count} free ports from {start} up")

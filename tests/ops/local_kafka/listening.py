"""A port that somebody listens on."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator


@contextlib.contextmanager
def listening_on(port: int) -> Iterator[None]:
    """Keep a port of 127.0.0.1 taken."""
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # TIME_WAIT is no hindrance
        with contextlib.suppress(OSError):  # somebody else has it: as good
            server.bind(("127.0.0.1", port))
            server.listen()
        yield

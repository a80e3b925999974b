"""`/metrics`, `/healthz` and `/readyz` of a worker."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from http import HTTPStatus
from socketserver import TCPServer, ThreadingMixIn
from threading import Event, Thread
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import make_wsgi_app
from prometheus_client.registry import CollectorRegistry

from schemas.errors import ConfigError

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment


_STARTING = "starting or draining"


class HealthServer:
    """Serves the three paths from a separate thread.

    It doesn't use the worker's event loop: when the loop is stuck, this server must still answer,
    because a probe that hangs tells less than the answer "stuck for 40 s".

    Parameters
    ----------
    registry
        The metrics of `/metrics`.
    check
        Called for every `/healthz`, in the server's thread: "" if all is well, else one line.
    host, port
        Where to listen. The default is 127.0.0.1, since metrics name models and topics. Port 0
        takes any free port; `port` is the actual port after `start`.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        check: Callable[[], str],
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self._metrics = make_wsgi_app(registry)
        self._check = check
        self._host = host
        self.port = port
        self._ready = Event()
        self._why_not = _STARTING
        self._server: WSGIServer | None = None

    def start(self) -> None:
        """Listen.

        Raises
        ------
        ConfigError
            The address isn't available.
        """
        try:
            self._server = make_server(
                self._host, self.port, self._answer, server_class=_Server, handler_class=_Handler
            )
        except OSError as error:
            raise ConfigError(
                f"can't serve metrics on {self._host}:{self.port}: {error.strerror or error}; "
                "choose another port, or 0 for any"
            ) from error
        self.port = self._server.server_port
        Thread(target=self._server.serve_forever, name="hark-health", daemon=True).start()

    def stop(self) -> None:
        """Close the port; harmless when it was never opened."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def set_ready(self, ready: bool, why_not: str = "") -> None:
        """Set the answer of `/readyz`: ready if state is restored, events are read, no drain."""
        self._why_not = why_not or _STARTING
        if ready:
            self._ready.set()
        else:
            self._ready.clear()

    def _answer(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        match environ["PATH_INFO"]:
            case "/metrics":
                answer: Iterable[bytes] = self._metrics(environ, start_response)
                return answer
            case "/healthz":
                problem = self._problem()
            case "/readyz":
                problem = "" if self._ready.is_set() else self._why_not
            case _:
                return _text(start_response, HTTPStatus.NOT_FOUND, "see /metrics /healthz /readyz")
        status = HTTPStatus.SERVICE_UNAVAILABLE if problem else HTTPStatus.OK
        return _text(start_response, status, problem or "ok")

    def _problem(self) -> str:
        try:
            return self._check()
        except Exception as error:  # noqa: BLE001 - a check that raises is itself a problem
            return f"the health check failed: {error!r}"


def _text(start_response: StartResponse, status: HTTPStatus, line: str) -> list[bytes]:
    body = f"{' '.join(line.split())}\n".encode()
    headers = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))]
    start_response(f"{status.value} {status.phrase}", headers)
    return [body]


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True  # a slow scraper must not hold up a worker's exit

    def server_bind(self) -> None:
        """Bind without a DNS lookup of the own name; the base class makes one, for seconds."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore scrapers that hang up."""


class _Handler(WSGIRequestHandler):
    timeout = 10  # seconds for a client that connects and says nothing

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
        """Log no line per scrape."""

    def address_string(self) -> str:
        """The bare address, without a DNS lookup."""
        return str(self.client_address[0])

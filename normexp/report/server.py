"""The live report on a loopback address: two paths, read only, nothing of the file system."""

import json
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from threading import Thread
from typing import TYPE_CHECKING

from normexp.errors import UsageError
from normexp.report.live import STATE, Live

if TYPE_CHECKING:
    from collections.abc import Callable

ANY = "0.0.0.0"  # noqa: S104  what a user may ask for
LOOPBACK = ("127.0.0.1", "localhost")

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'",  # the page says the rest about itself
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class ReportServer:
    """Serves a live report: two addresses, to be read only.

    Args:
        live: what is served.
        host: to listen at.
        port: the same; 0 for any that is free.

    Raises:
        UsageError: nobody can listen there.
    """

    def __init__(self, live: Live, host: str = LOOPBACK[0], port: int = 0) -> None:
        self._live = live
        try:
            self._server = _Quiet((host, port), _handler(live, host))
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UsageError(
                f"cannot listen at {host}, port {port}: {reason}",
                "type --port 0 for any port that is free",
            ) from None
        self.address = f"http://{host}:{self._server.server_port}/"

    def start(self) -> None:
        """Serve in a thread of its own, as long as this process lives."""
        self._live.start()
        Thread(target=self._server.serve_forever, daemon=True, name="server").start()

    def serve(self) -> None:
        """Serve until somebody interrupts."""
        self._live.start()
        try:
            self._server.serve_forever()
        finally:
            self._live.stop()
            self._server.server_close()


class _Quiet(ThreadingHTTPServer):
    """Says nothing of readers that have gone away."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Called in the place of an answer that could not be given."""


def _handler(live: Live, host: str) -> type[BaseHTTPRequestHandler]:
    """What answers requests; a class, since the library makes one of it for each."""
    answers: dict[str, Callable[[], tuple[str, str]]] = {
        "/": lambda: ("text/html; charset=utf-8", live.version().html),
        STATE: lambda: (
            "application/json",
            json.dumps({"version": live.version().number, "words": live.words()}),
        ),
    }

    class Handler(BaseHTTPRequestHandler):
        """GET and HEAD of known paths, asked for by the name that we listen at."""

        server_version = "normexp"
        sys_version = ""
        timeout = 30

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def _answer(self, *, with_body: bool) -> None:
            path = self.path.partition("?")[0]
            if not _is_ours(self.headers.get("Host", ""), host):
                self._send(HTTPStatus.FORBIDDEN, "text/plain", "not by this name", with_body)
            elif path not in answers:
                self._send(HTTPStatus.NOT_FOUND, "text/plain", "not found", with_body)
            else:
                self._send(HTTPStatus.OK, *answers[path](), with_body)

        def _send(self, status: HTTPStatus, kind: str, text: str, with_body: bool) -> None:  # noqa: FBT001
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            for name, value in HEADERS.items():
                self.send_header(name, value)
            self.end_headers()
            if with_body:
                self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
            """Say nothing: a page asks every two seconds."""

    return Handler


def _is_ours(asked: str, host: str) -> bool:
    """Whether a request names us: a stranger's page may have its own name lead to this machine."""
    name = asked.partition(":")[0]
    return name in (*LOOPBACK, host) or (host == ANY and _is_number(name))


def _is_number(name: str) -> bool:
    """Whether it is an address rather than a name, which could lead anywhere."""
    try:
        ip_address(name)
    except ValueError:
        return False
    return True

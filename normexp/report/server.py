"""The live report on a loopback address: two paths, read only, nothing of the file system."""

import json
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from threading import Thread

from normexp.errors import UsageError
from normexp.report.live import STATE, Live

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
    """Serves a live report, to be read only.

    Args:
        live: the report.
        host: to listen at.
        port: the same; 0 for any that is free.

    Raises:
        UsageError: nobody can listen there.
    """

    def __init__(self, live: Live, host: str = LOOPBACK[0], port: int = 0) -> None:
        self._live = live
        try:
            self._server = _Server((host, port), _Handler)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UsageError(
                f"cannot listen at {host}, port {port}: {reason}",
                "type --port 0 for any port that is free",
            ) from None
        self._server.live, self._server.host = live, host
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


class _Server(ThreadingHTTPServer):
    """A server with a report; readers that have gone away are no error."""

    daemon_threads = True
    live: Live
    host: str

    def handle_error(self, request: object, client_address: object) -> None:
        """Nothing: an answer that could not be given."""


class _Handler(BaseHTTPRequestHandler):
    """GET and HEAD of two paths, asked for by the name that the server listens at."""

    server: _Server
    server_version = "normexp"
    sys_version = ""
    timeout = 30

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        path, version = self.path.partition("?")[0], self.server.live.version()
        status, kind, text = HTTPStatus.NOT_FOUND, "text/plain", "not found"
        if not _is_ours(self.headers.get("Host", ""), self.server.host):
            status, text = HTTPStatus.FORBIDDEN, "not by this name"
        elif path == "/":
            status, kind, text = HTTPStatus.OK, "text/html; charset=utf-8", version.html
        elif path == STATE:
            state = {"version": version.number, "words": self.server.live.words()}
            status, kind, text = HTTPStatus.OK, "application/json", json.dumps(state)
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
        """Nothing: a page asks every two seconds."""


def _is_ours(asked: str, host: str) -> bool:
    """True if a request names this server: a stranger's name may lead to this machine."""
    name = asked.partition(":")[0]
    if name in (*LOOPBACK, host):
        return True
    try:
        ip_address(name)  # no name, which could lead anywhere
    except ValueError:
        return False
    return host == ANY

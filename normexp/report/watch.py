"""A report that follows a study while it grows, served at a loopback address, read only.

The report is made again whenever the study has changed. The server knows two paths, and nothing of
the file system.
"""

import hashlib
import json
import time
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from threading import Thread
from typing import NamedTuple

from normexp.console.words import counted
from normexp.errors import NormexpError, NotFoundError, UsageError
from normexp.report.compose import Report, compose
from normexp.report.page import page
from normexp.report.source import Source, gather
from normexp.store.layout import StudyDirectory, look_around, studies
from normexp.store.selection import select
from normexp.store.sweep import SweepDirectory
from normexp.study.asked import as_asked

LOOK_SECONDS = 1.0

PATIENCE = 3.0
"""A report is not made again before so many times what it took has passed: sweeps come first."""

STATE = "/state"
"""Where the page asks whether there is a newer one."""

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


class Version(NamedTuple):
    """The report at one time, and why it is not that of now, if something is wrong."""

    number: str
    html: str
    trouble: str = ""


class Live:
    """Makes the report of a study again whenever it has changed, in a thread of its own."""

    def __init__(self, study: StudyDirectory) -> None:
        self._study = study
        self.version = Version("", page(self._empty("The report is being made."), live=STATE))

    def start(self) -> None:
        """Follow the study as long as this process lives."""
        Thread(target=self._follow, daemon=True, name="report").start()

    def words(self) -> str:
        """The state of the study, for the page."""
        running = sum(SweepDirectory(path).is_alive() for path in self._study.sweep_directories())
        runs = counted(len(self._study.run_directories()), "run")
        if self.version.trouble:
            return f"live, but not of this moment: {self.version.trouble}"
        if running:
            return f"live: {counted(running, 'sweep')} running, {runs} so far"
        return f"live: no sweep is running, {runs}"

    def _follow(self) -> None:
        seen = ""
        while True:
            began, now = time.monotonic(), self._fingerprint()
            if now != seen:
                seen = now if self._make(now) else ""
            time.sleep(max(LOOK_SECONDS, PATIENCE * (time.monotonic() - began)))

    def _fingerprint(self) -> str:
        """Changes with every run, and when a sweep begins or ends."""
        hashed = hashlib.sha256()
        for path in [*self._study.run_directories(), *self._study.sweep_directories()]:
            hashed.update(path.name.encode())
            with suppress(OSError):
                hashed.update(str(path.stat().st_mtime_ns).encode())
        return hashed.hexdigest()[:12]

    def _make(self, number: str) -> bool:
        """Make a new version; return False where the study is to be looked at again.

        The last one stays where something is wrong, and the page says so.
        """
        try:
            html = page(self._report(), live=STATE, number=number)
        except (NormexpError, OSError) as error:  # replaced while we read
            self.version = self.version._replace(trouble=str(error))
            return False
        except Exception as error:  # noqa: BLE001  whatever it is, the page goes on
            self.version = self.version._replace(trouble=f"{type(error).__name__}: {error}")
        else:
            self.version = Version(number, html)
        return True

    def _report(self) -> Report:
        """The report of the study; an empty one as long as no run has ended."""
        if not self._study.runs():
            return self._empty("No run has ended yet. This page fills by itself.")
        return compose(gather(self._study.path, as_asked([str(self._study.path)], named=True)))

    def _empty(self, about: str) -> Report:
        """A report without a figure."""
        name = self._study.path.name
        return Report(name, about, (), (), Source((name,)))


def study_of(store: Path, wanted: str | None) -> StudyDirectory:
    """The study that is meant: by name, path, a sweep of it, or that of the newest sweep.

    Raises:
        NotFoundError: there is none.
    """
    if wanted is not None:
        found = select(store, wanted).studies
        if len(found) == 1:
            return found[0]
    sweeps = [(path.name, study) for study in studies(store) for path in study.sweep_directories()]
    if wanted is not None or not sweeps:
        raise NotFoundError(
            f"no study {wanted} in {store}" if wanted else f"nothing in {store}",
            look_around(store) if wanted else "type normexp sweep --watch, or --dir for a store",
        )
    return max(sweeps, key=lambda each: each[0])[1]


class ReportServer(ThreadingHTTPServer):
    """Serves the live report of a study.

    Args:
        study: that is followed as soon as requests are answered.
        host: to listen at.
        port: the same; 0 for any that is free.

    Raises:
        UsageError: nobody can listen there.
    """

    daemon_threads = True

    def __init__(self, study: StudyDirectory, host: str = LOOPBACK[0], port: int = 0) -> None:
        self.host, self.live = host, Live(study)
        try:
            super().__init__((host, port), _Handler)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UsageError(
                f"cannot listen at {host}, port {port}: {reason}",
                "type --port 0 for any port that is free",
            ) from None
        self.address = f"http://{host}:{self.server_port}/"

    def serve_forever(self, poll_interval: float = 0.5) -> None:
        """Follow the study and answer requests until somebody interrupts."""
        self.live.start()
        super().serve_forever(poll_interval)

    def handle_error(self, request: object, client_address: object) -> None:
        """Nothing: a reader has gone away."""


class _Handler(BaseHTTPRequestHandler):
    """GET and HEAD of two paths, asked for by the name that the server listens at."""

    server: ReportServer
    server_version = "normexp"
    sys_version = ""
    timeout = 30

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        path, live = self.path.partition("?")[0], self.server.live
        status, kind, text = HTTPStatus.NOT_FOUND, "text/plain", "not found"
        if not _is_ours(self.headers.get("Host", ""), self.server.host):
            status, text = HTTPStatus.FORBIDDEN, "not by this name"
        elif path == "/":
            status, kind, text = HTTPStatus.OK, "text/html; charset=utf-8", live.version.html
        elif path == STATE:
            state = {"version": live.version.number, "words": live.words()}
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

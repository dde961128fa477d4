"""The live report: what it serves, what it refuses, and that it follows a sweep."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from conftest import SMALL, store_of
from typer.testing import Result

PATIENCE_SECONDS = 600.0


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, int]]:
    """A store with one run, and the port at which `watch` serves its report."""
    store = store_of(tmp_path_factory.mktemp("watch") / "runs", *SMALL, "norm=batch", "seed=0")
    command = [sys.executable, "-m", "normexp", "watch", "--dir", str(store)]
    hearing = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # else a shell's `&` decides
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=hearing)  # noqa: PLW1509
    try:
        assert process.stdout is not None
        address = process.stdout.readline()
        match = re.fullmatch(r"http://127\.0\.0\.1:(\d+)/\n", address)
        assert match is not None, address
        yield store, int(match[1])
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=PATIENCE_SECONDS) == 130
    finally:
        process.kill()
        process.communicate()


def ask(
    port: int, path: str, method: str = "GET", host: str = ""
) -> tuple[http.client.HTTPResponse, bytes]:
    """The answer to a request, its path sent as it is."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    connection.putrequest(method, path, skip_host=True)
    connection.putheader("Host", host or f"127.0.0.1:{port}")
    connection.endheaders()
    answer = connection.getresponse()
    return answer, answer.read()


def state(port: int) -> dict[str, Any]:
    """What the page is told when it asks."""
    found: dict[str, Any] = json.loads(ask(port, "/state")[1])
    return found


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Until it holds."""
    until = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < until, what
        time.sleep(0.2)


def test_it_serves_the_report_with_safe_headers(watched: tuple[Path, int]) -> None:
    """One page that runs only its own scripts and may ask only this server."""
    _, port = watched
    wait_for(lambda: b"<figure" in ask(port, "/")[1], "no figure came")
    answer, body = ask(port, "/")

    assert answer.status == 200
    assert b"connect-src &#39;self&#39;" in body
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize(
    "path",
    ["/../../../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd", "/runs",
     "/manifest.json", "/report.html/../..", "/state/", "/\x7f", "/" + "a" * 5000],
)  # fmt: skip
def test_nothing_else_is_found(watched: tuple[Path, int], path: str) -> None:
    """Paths are names of two answers, never of files."""
    connection = socket.create_connection(("127.0.0.1", watched[1]), timeout=600)
    with connection:
        connection.sendall(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))

    assert re.match(rb"HTTP/1\.\d (400|404|414) ", answer), answer[:80]
    assert b"root:" not in answer


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_it_only_reads(watched: tuple[Path, int], method: str) -> None:
    """No other method than GET and HEAD is known."""
    assert ask(watched[1], "/", method)[0].status == 501


def test_head_has_no_body(watched: tuple[Path, int]) -> None:
    """And the same headers."""
    answer, body = ask(watched[1], "/", "HEAD")

    assert (answer.status, body) == (200, b"")
    assert int(answer.headers["Content-Length"]) > 1000


@pytest.mark.parametrize(
    ("host", "status"),
    [("localhost:{}", 200), ("[::1]:{}", 403), ("evil.example", 403), ("evil.example:{}", 403),
     ("127.0.0.1.evil.example:{}", 403)],
)  # fmt: skip
def test_it_answers_to_its_own_names_only(
    watched: tuple[Path, int], host: str, status: int
) -> None:
    """A stranger's page whose name leads to this machine is refused (DNS rebinding)."""
    assert ask(watched[1], "/state", host=host.format(watched[1]))[0].status == status


def test_only_this_machine_can_reach_it(watched: tuple[Path, int]) -> None:
    """It listens at the loopback address, at no other of this machine's."""
    listening = Path("/proc/net/tcp").read_text().splitlines()[1:]
    port = f"{watched[1]:04X}"
    addresses = {line.split()[1] for line in listening if line.split()[3] == "0A"}

    assert {each for each in addresses if each.endswith(f":{port}")} == {f"0100007F:{port}"}


def test_it_follows_a_sweep_in_another_process(watched: tuple[Path, int]) -> None:
    """A new run makes a new version of the page, which has it."""
    store, port = watched
    wait_for(lambda: state(port)["version"] != "", "no report came")
    before = state(port)["version"]

    store_of(store, *SMALL, "norm=batch", "seed=0,1,2")

    wait_for(lambda: state(port)["version"] != before, "no newer version came")
    runs = len(list(store.glob("*/*/metrics.parquet")))
    wait_for(lambda: f"{runs} runs".encode() in ask(port, "/")[1], "the page has not the new runs")
    assert "no sweep is running" in state(port)["words"]


def test_a_sweep_serves_its_own_report(tmp_path: Path) -> None:
    """`sweep --watch` says where on stderr before it trains; the page has runs as they end."""
    command = [sys.executable, "-m", "normexp", "sweep", "--watch", *SMALL, "train.epochs=150",
               "norm=none", "model.width=3,4,5,6", "seed=range(64)"]  # fmt: skip
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    )
    try:
        assert process.stderr is not None
        first = process.stderr.readline()
        match = re.search(r"http://127\.0\.0\.1:(\d+)/", first)
        assert match is not None, first
        port = int(match[1])
        wait_for(lambda: "1 sweep running" in state(port)["words"], "it is not served")
        wait_for(lambda: b"<figure" in ask(port, "/")[1], "no run came")
        assert process.poll() is None
        process.communicate(timeout=PATIENCE_SECONDS)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["nowhere"], 3, "nowhere"),
        ([], 3, "type normexp"),
        (["--host", "256.1.1.1"], 2, "--port 0"),
        (["--port", "99999"], 2, "--port"),
    ],
)
def test_what_cannot_be_watched_is_said_in_a_line(
    normexp: Callable[..., Result], tmp_path: Path, arguments: list[str], code: int, said: str
) -> None:
    """No such study; an empty store; no such address."""
    if code == 2:
        store_of(tmp_path / "runs", *SMALL, "norm=batch", "seed=0")

    result = normexp("watch", *arguments)

    assert result.exit_code == code, result.output
    assert said in result.stderr


def test_a_taken_port_is_said_in_a_line(
    normexp: Callable[..., Result], tmp_path: Path, watched: tuple[Path, int]
) -> None:
    """With what to type instead."""
    store_of(tmp_path / "runs", *SMALL, "norm=batch", "seed=0")

    result = normexp("watch", "--port", str(watched[1]))

    assert result.exit_code == 2
    assert os.strerror(98) in result.stderr
    assert "--port 0" in result.stderr

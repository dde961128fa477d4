"""A real Ray cluster for tests: a head and a second node, both on this machine's loopback."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest
from running import until

HEAD, SECOND = "127.0.0.2", "127.0.0.3"
"""Loopback addresses that Ray does not replace by the machine's own, as it does 127.0.0.1."""


def need_ray() -> None:
    """Skip with the reason where Ray cannot be had; in CI, which installs it, fail."""
    missing = None
    if find_spec("ray") is None:
        missing = "Ray is not installed: pip install 'normexp[ray]'"
    elif not Path("/proc/self/stat").exists():
        missing = "the test cluster needs Linux: /proc, and all of 127.0.0.0/8"
    if missing:
        assert "NORMEXP_NEEDS_CLUSTER" not in os.environ, missing
        pytest.skip(missing)


@dataclass(frozen=True)
class Node:
    """One `ray start --block`, with all that it has started."""

    process: subprocess.Popen[bytes]
    place: Path

    def members(self) -> dict[int, str]:
        """The processes below it, by number, with their command lines."""
        return {number: line for number, line in below(self.process.pid).items() if line}

    def workers(self) -> list[int]:
        """Its workers that have a task at the moment."""
        return [n for n, line in self.members().items() if line.startswith("ray::normexp")]

    def kill(self) -> None:
        """SIGKILL to the raylet and everything else of the node, as by a power cut."""
        for number in [*self.members(), self.process.pid]:
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        self.process.wait()


@dataclass(frozen=True)
class Cluster:
    """A head and a second node, of one CPU each."""

    address: str
    head: Node
    second: Node


@contextmanager
def cluster() -> Iterator[Cluster]:
    """Two nodes that know each other; nothing of them is left in the end."""
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as path:
        nodes: list[Node] = []
        try:
            port = free_port()
            address = f"{HEAD}:{port}"
            head = ["--head", f"--port={port}", "--include-dashboard=false"]
            nodes.append(_start(Path(path), HEAD, *head))
            until(lambda: _is_open(port), nodes[0].process)
            nodes.append(_start(Path(path), SECOND, f"--address={address}"))
            until(lambda: _nodes(address) == 2, nodes[1].process)
            yield Cluster(address, *nodes)
        finally:
            for node in reversed(nodes):
                node.kill()


def below(parent: int) -> dict[int, str]:
    """The living descendants of a process, with their command lines."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, its_parent = stat.read_text().rpartition(")")[2].split()[:2]
            if state != "Z":
                parents[int(stat.parent.name)] = int(its_parent)
    found, todo = {}, [parent]
    while todo:
        above = todo.pop()
        for number in [number for number, its in parents.items() if its == above]:
            todo.append(number)
            with suppress(OSError):
                line = Path(f"/proc/{number}/cmdline").read_bytes()
                found[number] = line.replace(b"\0", b" ").decode(errors="replace")
    return found


def drivers(parent: int | None = None) -> list[int]:
    """The processes through which this one, or another, speaks with Ray; each begins a session."""
    found = below(parent or os.getpid())
    return [number for number, line in found.items() if "ray_driver" in line]


def in_session(leader: int) -> list[int]:
    """The living processes of a session."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, _, session = stat.read_text().rpartition(")")[2].split()[:4]
            if state != "Z" and int(session) == leader:
                found.append(int(stat.parent.name))
    return found


def free_port() -> int:
    """A port of the head that nobody listens at."""
    with socket.socket() as probe:
        probe.bind((HEAD, 0))
        number: int = probe.getsockname()[1]
        return number


def _start(place: Path, ip: str, *options: str) -> Node:
    """Start a node, in a session of its own."""
    own = place / ip.rpartition(".")[2]
    own.mkdir()
    options = (*options, *([f"--temp-dir={own}"] if "--head" in options else []))
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", *options]
    command += [f"--node-ip-address={ip}", "--num-cpus=1", "--num-gpus=0"]
    command += [f"--object-store-memory={80 * 2**20}", "--disable-usage-stats"]
    with (own / "log").open("wb") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env=os.environ | {"RAY_AUTH_MODE": "disabled", "OMP_NUM_THREADS": "2"},
        )
    return Node(process, own)


def _is_open(port: int) -> bool:
    try:
        socket.create_connection((HEAD, port), 1).close()
    except OSError:
        return False
    return True


def _nodes(address: str) -> int:
    """How many nodes the head knows; asked elsewhere, for Ray leaves much in a process."""
    code = (
        "import sys, ray; ray.init(sys.argv[1], log_to_driver=False);"
        "print(sum(node['Alive'] for node in ray.nodes()))"
    )
    command = [sys.executable, "-c", code, address]
    environment = os.environ | {"RAY_AUTH_MODE": "disabled"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    return int(done.stdout or 0)

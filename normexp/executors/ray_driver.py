"""The process through which `ray.py` speaks with a Ray cluster: `python -m`, started there."""

import logging
import os
import pickle
import secrets
import shutil
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ray import ObjectRef

LOOK_SECONDS = 0.2
CONNECT_SECONDS = 5.0
JOIN_SECONDS = 15.0
NODES_SECONDS = 10.0
"""Between two looks at whether any node is left that can take a task."""

STATUS = "`ray status` on a node of the cluster says whether it is up"
OWN = "executor.address=local starts one for the sweep"
SAME = "install the same Ray and Python here and there"
ENTRY = "export RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN as on its head"

OBJECT_STORE_BYTES = 80 * 2**20
"""Ray wants 75 MiB at least; what passes through it here is small."""


class LeftError(Exception):
    """Nobody listens any more."""


class ClusterError(Exception):
    """A fault of the cluster, and a hint what to type next."""


def main() -> None:
    """Read an order, work it off, send what came of it."""
    channel, place = Connection(int(sys.argv[1])), sys.argv[2]
    order = pickle.loads(channel.recv_bytes())  # noqa: S301  from our own parent
    try:
        with _connected(channel, order["address"], order["workers"], place):
            _work(channel, order)
    except LeftError:
        return
    except ClusterError as error:
        _send(channel, ("failed", -1, error.args))
    finally:
        shutil.rmtree(place, ignore_errors=True)  # the caller may have been killed


def _work(channel: Connection, order: dict[str, Any]) -> None:
    """Keep as many tasks going as there may be at a time."""
    import ray

    _check_nodes(order["gpus"])
    start, left = _starter(order), iter(enumerate(order["tasks"]))
    going = {start(task): number for number, task in islice(left, order["workers"])}
    idle = 0.0
    try:
        while going:
            done, _ = ray.wait(list(going), timeout=LOOK_SECONDS)
            if channel.poll():  # nothing more is ever sent: it was closed
                raise LeftError  # noqa: TRY301  leaving is the same, however it came
            for ref in done:
                number = going.pop(ref)
                going |= {start(task): number for number, task in islice(left, 1)}
                _send(channel, _outcome(ref, number, order["attempts"]))
            idle = 0.0 if done else idle + LOOK_SECONDS
            if idle > NODES_SECONDS:
                _check_nodes(order["gpus"])
                idle = 0.0
    except BaseException:
        _take_back(list(going), order["grace"])
        raise


def _starter(order: dict[str, Any]) -> "Callable[[bytes], ObjectRef[bytes]]":
    """A function that starts a task."""
    import ray

    path, work = ray.put(order["path"]), ray.put(order["work"])
    remote = ray.remote(_work_there).options(
        num_cpus=1,
        num_gpus=order["gpus"],
        max_retries=order["attempts"] - 1,
        retry_exceptions=False,
        name="normexp",
    )
    return lambda task: remote.remote(path, work, task)


def _work_there(path: list[str], work: bytes, task: bytes) -> bytes:
    """The work of a task, sent as it stands here: even a node without normexp can answer."""
    import pickle
    import signal
    import sys

    from ray import cloudpickle

    sys.path[:] = path + [place for place in sys.path if place not in path]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # taking a task back must not tear a file
    outcome: object
    try:
        outcome = pickle.loads(work)(pickle.loads(task))  # noqa: S301  from our own driver
    except Exception as error:  # noqa: BLE001  passed on, whatever it is
        outcome = error
    dumps: Callable[[object], bytes] = cloudpickle.dumps
    try:
        return dumps(outcome)
    except Exception as error:  # noqa: BLE001  the same
        return pickle.dumps(RuntimeError(f"{type(outcome).__name__} cannot be sent: {error}"))


def _outcome(ref: "ObjectRef[bytes]", number: int, attempts: int) -> tuple[str, int, Any]:
    """The message about a task that has ended."""
    import ray
    from ray import exceptions

    try:
        return "ended", number, ray.get(ref)
    except (
        exceptions.WorkerCrashedError,
        exceptions.NodeDiedError,
        exceptions.OutOfMemoryError,
        exceptions.ObjectLostError,
    ):
        times = f"{attempts} times" if attempts > 1 else "once"
        return "lost", number, f"{times} its worker or node was lost: out of memory?"
    except Exception as error:  # noqa: BLE001  Ray's own
        return "lost", number, f"Ray: {_line(error)}"


def _take_back(refs: "list[ObjectRef[bytes]]", grace: float) -> None:
    """Cancel what has not begun, wait a little for what has, and kill what does not end."""
    import ray

    if not refs:
        return
    for ref in refs:
        ray.cancel(ref, force=False)
    _, running = ray.wait(refs, num_returns=len(refs), timeout=grace)
    for ref in running:
        with suppress(Exception):
            ray.cancel(ref, force=True)


@contextmanager
def _connected(
    channel: Connection, address: str | None, workers: int, place: str
) -> Iterator[None]:
    """Ray, connected to a cluster; one of this process's own ends with it."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_task_oom_retries"] = "2"  # noqa: SIM112  Ray's spelling; else without end
    os.environ["RAY_NUM_REDIS_GET_RETRIES"] = str(int(CONNECT_SECONDS))
    if address is None:
        os.environ.pop("RAY_ADDRESS", None)  # of another cluster
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # nothing beyond the loopback
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)  # else one is left in ~/.ray
    elif address != "auto":
        _check_reachable(address)
    import ray

    own: dict[str, Any] = {
        "num_cpus": workers,
        "object_store_memory": OBJECT_STORE_BYTES,
        "include_dashboard": False,
        "_temp_dir": place,
    }
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        with _in_time(channel, address):
            ray.init(address or "local", **quiet, **({} if address else own))
    except Exception as error:
        raise why_not_connected(address, error) from error
    try:
        yield
    finally:
        ray.shutdown()


@contextmanager
def _in_time(channel: Connection, address: str | None) -> Iterator[None]:
    """End this process if Ray goes on trying: at the address may be something else."""

    def give_up() -> None:
        text = f"what answers at {address} is no Ray cluster, or {JOIN_SECONDS:g} seconds too slow"
        with suppress(LeftError):
            _send(channel, ("failed", -1, (text, STATUS)))
        os._exit(1)

    timer = threading.Timer(JOIN_SECONDS, give_up)
    if address is not None:  # a cluster of its own may take its time on a busy machine
        timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _check_reachable(address: str) -> None:
    """Ray would try for a long time."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise ClusterError(
            f"no Ray cluster answers at {address}: {getattr(error, 'strerror', None) or error}",
            f"{STATUS}; {OWN}",
        ) from error


def why_not_connected(address: str | None, error: BaseException) -> ClusterError:
    """The error for what Ray raised when it was to connect."""
    text, cause = str(error), error.__cause__
    while cause is not None:
        text, cause = f"{text} {cause}", cause.__cause__
    what = "a Ray cluster on this machine" if address is None else f"the Ray cluster at {address}"
    if "Version mismatch" in text:
        return ClusterError(f"{what} does not suit this process: {_line(error)}", SAME)
    if "InvalidAuthToken" in text or "RAY_AUTH_MODE" in text:
        return ClusterError(f"{what} wants another token", ENTRY)
    if address == "auto":
        return ClusterError("no Ray cluster runs on this machine", OWN)
    if address is None:
        return ClusterError(f"cannot start {what}: {_line(error)}")
    return ClusterError(f"cannot join {what}: {_line(error)}", "type it on a node of the cluster")


def _check_nodes(gpus: float) -> None:
    """Make sure that a node can take a task: Ray would wait for one without end."""
    import ray

    list_nodes: Callable[[], list[dict[str, Any]]] = ray.nodes
    nodes = [node["Resources"] for node in list_nodes() if node["Alive"]]
    if any(n.get("CPU", 0) >= 1 and n.get("GPU", 0) >= gpus for n in nodes):
        return
    most = max((node.get("GPU", 0) for node in nodes), default=0)
    wanted = f"1 CPU and {gpus:g} GPUs" if gpus else "1 CPU"
    raise ClusterError(
        f"no node of the Ray cluster has the {wanted} that a stack is to have"
        + (f": {most:g} GPUs at most" if gpus else ""),
        "executor.gpus=0 for none" if gpus else STATUS,
    )


def _send(channel: Connection, message: tuple[str, int, Any]) -> None:
    try:
        channel.send_bytes(pickle.dumps(message))
    except OSError:
        raise LeftError from None


def _line(error: BaseException) -> str:
    """The text of an error in one line."""
    return " ".join(str(error).split()) or type(error).__name__


if __name__ == "__main__":
    main()

"""The Ray executor: every task ends, by its result or by its error, and nothing is left of Ray."""

import os
import signal
import socket
import sys
from functools import partial
from pathlib import Path

import pytest
from ray_cluster import Cluster, drivers, in_session, need_ray
from running import until
from tasks import abandoned, hang, until_asked, where, work

from normexp.errors import NormexpError, UsageError
from normexp.executors import ray
from normexp.executors.processes import LostError
from normexp.executors.ray_driver import why_not_connected

pytestmark = pytest.mark.usefixtures("_ray")


@pytest.fixture(scope="module")
def _ray() -> None:
    need_ray()


def rays_environment() -> dict[str, str]:
    """What of the environment is Ray's."""
    return {name: value for name, value in os.environ.items() if name.startswith("RAY_")}


def test_every_task_is_told_whatever_befalls_its_worker(
    two_nodes: Cluster, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """One that raises, one that is killed once, one that always is; the caller is not touched."""
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    surroundings = rays_environment(), sys.excepthook, list(sys.path)
    todo = partial(work, str(tmp_path))
    ended = dict(ray.run(range(8), todo, 2, abandoned, address=two_nodes.address, gpus=0))
    errors = {task: out for task, out in ended.items() if isinstance(out, Exception)}

    assert ended.keys() == set(range(8))
    assert {task: type(error) for task, error in errors.items()} == {
        2: ValueError,
        4: LostError,
    }
    assert str(errors[4]) == "3 times its worker or node was lost: out of memory?"
    assert os.getpid() not in ended.values()
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == before
    assert (rays_environment(), sys.excepthook, list(sys.path)) == surroundings
    assert capfd.readouterr() == ("", "")
    assert drivers() == []


def test_a_cluster_that_is_there_is_used_and_left_as_it_was(two_nodes: Cluster) -> None:
    """Both nodes work; a second call finds them again."""
    for _ in range(2):
        ended = dict(ray.run(range(20), where, 2, abandoned, address=two_nodes.address, gpus=0))

        assert ended.keys() == set(range(20))
        assert set(ended.values()) == {"127.0.0.2", "127.0.0.3"}


def test_tasks_of_a_caller_who_leaves_are_taken_back(two_nodes: Cluster, tmp_path: Path) -> None:
    """What runs ends in good order, what does not is not begun; nodes are free for the next."""
    asked = (tmp_path / "stop").touch
    todo = partial(until_asked, str(tmp_path))
    for task, _ in ray.run(range(9), todo, 2, asked, address=two_nodes.address, gpus=0):
        assert task == 0
        (driver,) = drivers()
        break
    until(lambda: not in_session(driver))
    ended = dict(ray.run(range(2), where, 2, abandoned, address=two_nodes.address, gpus=0))

    assert ended.keys() == {0, 1}
    assert {path.name for path in tmp_path.glob("ended*")} <= {"ended0", "ended1", "ended2"}


def test_an_address_of_something_else_is_told() -> None:
    """Something listens, and never answers."""
    with socket.create_server(("127.0.0.2", 0)) as server:
        address = f"127.0.0.2:{server.getsockname()[1]}"
        with pytest.raises(NormexpError, match=f"^what answers at {address} is no Ray cluster"):
            dict(ray.run(range(2), where, 2, lambda: None, address=address, gpus=0))


def test_a_cluster_with_another_ray_is_told() -> None:
    """Both versions, as Ray names them, in one line."""
    said = RuntimeError("Version mismatch: The cluster was started with:\n    Ray: 2.9.0\nThis: 3")
    told = why_not_connected("head:6379", said)

    message, hint = told.args
    assert message.startswith("the Ray cluster at head:6379 does not suit this process: Version ")
    assert message.endswith("The cluster was started with: Ray: 2.9.0 This: 3")
    assert hint == "install the same Ray and Python here and there"


@pytest.mark.parametrize(
    ("address", "gpus", "words"),
    [
        ("ray://here:10001", 0, "is no address of a Ray cluster"),
        ("here", 0, "is no address of a Ray cluster"),
        ("here:there", 0, "is no address of a Ray cluster"),
        (":6379", 0, "is no address of a Ray cluster"),
        (None, -1, "a Ray task cannot have"),
        (None, 1.5, "a Ray task cannot have"),
    ],
)
def test_what_ray_does_not_know_is_told(address: str | None, gpus: float, words: str) -> None:
    """Before anything is started. Ray knows fractions of one GPU, and whole ones."""
    with pytest.raises(UsageError, match=words):
        dict(ray.run(range(2), where, 2, abandoned, address=address, gpus=gpus))


def test_a_machine_without_ray_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the words of pip."""
    monkeypatch.setattr("normexp.executors.ray.find_spec", lambda _: None)
    with pytest.raises(UsageError, match="executor=ray needs Ray") as told:
        dict(ray.run(range(2), where, 2, abandoned, address=None, gpus=0))

    assert told.value.hint == "type pip install ray"


def test_a_driver_that_dies_is_told_and_takes_its_cluster_along() -> None:
    """As when Ray ends its process because the cluster is gone."""
    ended = ray.run(range(3), hang, 1, lambda: None, address=None, gpus=0)
    assert next(ended) == (0, None)
    (driver,) = drivers()
    os.kill(driver, signal.SIGKILL)
    with pytest.raises(NormexpError, match=r"^the connection with the Ray cluster was lost"):
        next(ended)

    until(lambda: not in_session(driver))

"""Tasks for executors, which raise, wait or end their process; it imports this, so: little."""

import os
import signal
import time
from pathlib import Path


def abandoned() -> None:
    """Nobody leaves early here."""
    raise AssertionError("abandoned")


def work(place: str, task: int) -> int:
    """Task 2 raises, the process of 3 is killed once, that of 4 always; in which process."""
    died = Path(place, "died")
    if task == 2:
        raise ValueError("two")
    if (task == 3 and not died.exists()) or task == 4:
        died.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return os.getpid()


def die_once(place: str, task: int) -> None:
    """End the process of an odd task, the first time."""
    begun = Path(place) / str(task)
    if task % 2 and not begun.exists():
        begun.touch()
        os.kill(os.getpid(), signal.SIGKILL)


def alone(place: str, task: int) -> int:
    """Raise an error if another task runs at the same time."""
    running = Path(place, "running")
    running.mkdir()
    time.sleep(0.1)
    running.rmdir()
    return task


def leave(code: int) -> None:
    """End the process as a library does that cannot go on."""
    os._exit(code)


class Unreadable:
    """A task that a process cannot read: it lacks the module."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return __import__, ("nosuch",)


def until_asked(place: str, task: int) -> int:
    """Task 0 ends at once, others when somebody asks."""
    while task and not Path(place, "stop").exists():
        time.sleep(0.05)
    Path(place, f"ended{task}").touch()
    return task


def where(_: int) -> str:
    """On which node a task runs, as its raylet's command line says."""
    time.sleep(0.2)
    line = Path(f"/proc/{os.getppid()}/cmdline").read_bytes().decode()
    return "127.0.0.3" if "--node_ip_address=127.0.0.3" in line else "127.0.0.2"


def hang(task: int) -> None:
    """All but the first never end."""
    while task:
        time.sleep(0.1)

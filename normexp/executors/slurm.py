"""A Slurm cluster: one array of calls, submitted through submitit.

submitit writes the batch script, carries the calls, and has a call that is out of time put back
into the queue. What has become of the array is asked of Slurm itself, `squeue` first, since not
every cluster keeps accounts.
"""

import io
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from normexp.config.executor import Slurm
from normexp.errors import UsageError

MOST_TIMEOUTS = 10_000
"""That a call is put back into the queue, its time being over; it says itself when to stop."""

SIGNAL_SECONDS = 90
"""Before the end of its time a call is told."""

MOST_TASKS = 1001
"""Of an array, where Slurm does not say: its own default."""

TAIL_LINES = 3
NAME = re.compile(r"(?P<job>\d+)(_(?P<task>\d+))?$")


class State(StrEnum):
    """What has become of an array's task, in the words of a message."""

    QUEUED = "waits in the queue"
    RUNNING = "runs"
    ENDED = "has ended"
    CANCELLED = "was cancelled"
    PREEMPTED = "was pre-empted"
    TIMEOUT = "was out of time"
    NODE_FAIL = "lost its node"
    OUT_OF_MEMORY = "was out of memory"
    FAILED = "failed"
    GONE = "is no longer known to Slurm"

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come of it."""
        return self not in {State.QUEUED, State.RUNNING}


OF_SLURM = {
    "RUNNING": State.RUNNING,
    "COMPLETING": State.RUNNING,
    "SIGNALING": State.RUNNING,
    "STAGE_OUT": State.RUNNING,
    "SUSPENDED": State.RUNNING,
    "COMPLETED": State.ENDED,
    "CANCELLED": State.CANCELLED,
    "REVOKED": State.CANCELLED,
    "PREEMPTED": State.PREEMPTED,
    "TIMEOUT": State.TIMEOUT,
    "DEADLINE": State.TIMEOUT,
    "NODE_FAIL": State.NODE_FAIL,
    "BOOT_FAIL": State.NODE_FAIL,
    "OUT_OF_MEMORY": State.OUT_OF_MEMORY,
    "FAILED": State.FAILED,
}
"""Whatever else Slurm says, such as PENDING or REQUEUED, means that the task waits."""


@dataclass(frozen=True)
class Array:
    """An array that was submitted.

    Args:
        folder: of its scripts and logs.
        job: its number.
        tasks: how many there are.
    """

    folder: Path
    job: str
    tasks: int

    def name(self, task: int) -> str:
        """How Slurm calls a task; a single one is no array."""
        return f"{self.job}_{task}" if self.tasks > 1 else self.job

    def states(self) -> Mapping[int, State] | None:
        """The state of every task; None while Slurm does not answer."""
        found = _ask("squeue", "-h", "-r", "-t", "all", "-j", self.job, "-o", "%i|%T|%r")
        if found is None:
            return None
        if len(found) < self.tasks:  # some ended a while ago
            found = self._accounts() | found
        return {task: found.get(task, State.GONE) for task in range(self.tasks)}

    def _accounts(self) -> dict[int, State]:
        return _ask("sacct", "-n", "-P", "-X", "-j", self.job, "-o", "JobID,State") or {}

    def cancel(self, *, waiting_only: bool = False) -> None:
        """Take the tasks out of the queue, and end those that run unless told otherwise."""
        only = ["--state=PENDING"] if waiting_only else []
        _run(["scancel", *only, self.job])

    def requeue(self, task: int) -> bool:
        """Start a task again that is over; whether Slurm does."""
        done = _run(["scontrol", "requeue", self.name(task)])
        return done is not None and done.returncode == 0

    def tail(self, task: int) -> str:
        """The last lines of a task's log, as one, and where it is."""
        for kind in ("err", "out"):
            path = self.folder / f"{self.name(task)}_0_log.{kind}"
            lines = _last_lines(path)
            if lines:
                return f"{path} ends: {' / '.join(lines)}"
        return "it left no log"


def check() -> None:
    """Say what cannot be, before anything is begun.

    Raises:
        UsageError: there is no Slurm, or no submitit.
    """
    if any(shutil.which(program) is None for program in ("sbatch", "srun", "squeue")):
        raise UsageError(
            "executor=slurm needs Slurm's commands, and there is no sbatch on this machine",
            "type it where you would type sbatch, or type executor=local",
        )
    if find_spec("submitit") is None:
        raise UsageError("executor=slurm needs submitit", "type pip install submitit")


def submit(folder: Path, calls: Sequence[Callable[[], Any]], options: Slurm) -> Array:
    """Submit calls as one array.

    Args:
        folder: for scripts, calls and logs, on a file system that all nodes see.
        calls: made by the tasks, one each; one with a method `checkpoint` goes on when its time
            is over.
        options: of the array.

    Raises:
        UsageError: Slurm refuses.
    """
    from submitit import SlurmExecutor
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    python = f"{shlex.quote(sys.executable)} -P"  # without the directory where sbatch is typed
    executor = SlurmExecutor(folder, max_num_timeout=MOST_TIMEOUTS, python=python)
    executor.update_parameters(**_parameters(options))
    try:
        with redirect_stderr(io.StringIO()), executor.batch():  # what sbatch says is in the error
            jobs = [executor.submit(call) for call in calls]
    except (FailedJobError, FailedSubmissionError) as error:
        raise UsageError(
            f"Slurm refuses: {_said(str(error))}",
            "change executor.partition, account, time or options; sinfo shows what there is",
        ) from error
    return Array(folder, jobs[0].job_id.partition("_")[0], len(calls))


class Limits(NamedTuple):
    """What Slurm says of a cluster: its name, and how many tasks an array has at most."""

    cluster: str
    tasks: int


def limits() -> Limits:
    """Of this cluster."""
    done = _run(["scontrol", "show", "config"])
    said = dict(re.findall(r"(\w+)\s*=\s*(\S+)", done.stdout if done else ""))
    tasks = said.get("MaxArraySize", "")
    return Limits(said.get("ClusterName", ""), int(tasks) if tasks.isdigit() else MOST_TASKS)


def name_here(environment: Mapping[str, str]) -> str:
    """How Slurm calls the task that this process is, of an array or alone."""
    array, task = environment.get("SLURM_ARRAY_JOB_ID"), environment.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{task}" if array and task else environment.get("SLURM_JOB_ID", "0")


def _parameters(options: Slurm) -> dict[str, Any]:
    """What submitit takes.

    Raises:
        UsageError: of words that are no options.
    """
    given = {
        "job_name": "normexp",
        "partition": options.partition,
        "account": options.account,
        "cpus_per_task": options.cpus_per_task,
        "gpus_per_node": options.gpus or None,
        "time": options.time,
        "array_parallelism": options.array_parallelism,
        "setup": None if options.setup is None else [options.setup],
        "signal_delay_s": SIGNAL_SECONDS,
        "wckey": None,
        "additional_parameters": {"requeue": True, **_words(options.options or "")},
    }
    return {name: value for name, value in given.items() if value is not None or name == "wckey"}


def _words(text: str) -> dict[str, Any]:
    try:
        pairs = [word.removeprefix("--").partition("=") for word in shlex.split(text)]
    except ValueError as error:
        raise UsageError(f"executor.options={text!r}: {error}") from error
    return {name.replace("-", "_"): value if equals else True for name, equals, value in pairs}


def _ask(*command: str) -> dict[int, State] | None:
    """The states of tasks by their number; None if there was no answer."""
    done = _run(command)
    if done is None or (done.returncode and "Invalid job id" not in done.stderr):
        return None
    found = {}
    for line in done.stdout.splitlines():
        name, state, reason = [*line.strip().split("|"), "", ""][:3]
        parts = NAME.match(name)
        if parts is not None:
            words = state.split()  # "CANCELLED by 0"
            found[int(parts["task"] or 0)] = OF_SLURM.get(words[0] if words else "", State.QUEUED)
            if "launch failed" in reason.lower():  # and held, for somebody to look at the node
                found[int(parts["task"] or 0)] = State.FAILED
    return found


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str] | None:
    try:
        return subprocess.run(  # noqa: S603  Slurm's own commands
            command, capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return None


def _last_lines(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 4096))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return []
    return [line.strip() for line in lines if line.strip()][-TAIL_LINES:]


def _said(text: str) -> str:
    """What sbatch said, of all that submitit says of it."""
    said = [line.removeprefix("sbatch: ") for line in text.splitlines() if "sbatch: " in line]
    lines = [line.removeprefix("error: ").strip() for line in said]
    return "; ".join(dict.fromkeys(lines)) or text.strip().splitlines()[-1]

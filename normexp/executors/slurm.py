"""A Slurm cluster: one array of calls, submitted through submitit.

submitit writes the batch script, carries the calls, and has a call that is out of time put back
into the queue. What has become of the array is asked of Slurm itself, `squeue` first, since not
every cluster keeps accounts.
"""

import io
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from normexp.config.schema import Slurm
from normexp.errors import UsageError
from normexp.store.plain import open_regular

MOST_TIMEOUTS = 10_000
"""Times that a call is put back into the queue, its time being over; it stops by itself."""

SIGNAL_SECONDS = 90
"""Warning before Slurm's time limit."""

MOST_TASKS = 1001
"""Of an array, where Slurm does not say: its own default."""

TAIL_LINES = 3

FIELDS = {
    "time": "time=MINUTES",
    "time_min": "time=MINUTES",
    "partition": "partition=NAME",
    "account": "account=NAME",
    "cpus_per_task": "cpus_per_task=NUMBER",
    "gpus_per_node": "gpus=NUMBER",
    "array": "array_parallelism=NUMBER",
}
"""Options of sbatch that are fields of the executor, with what one types."""

GIVEN = ("partition", "account", "cpus_per_task", "time", "array_parallelism")
"""Fields of the executor that submitit takes under the same names."""

NEEDED = ("nodes", "ntasks", "ntasks_per_node", "signal", "no_requeue", "output", "error")
"""Options that would break how a task is started, warned, queued again or read."""

SHORTEST = 3
"""Letters of an option's name that sbatch may take for the whole."""

OVERRIDING = ("SBATCH_TIMELIMIT", "SBATCH_SIGNAL", "SBATCH_ARRAY_INX", "SBATCH_NO_REQUEUE")
"""Variables that sbatch takes in place of what its script says."""

SET_UP = """
trap 'code=$?; [ "$is_set_up" ] || echo "executor.setup ended the task, code $code" >&2' EXIT
set -e
{setup}
(exit $?)  # of a list such as `cd x && make`, which `set -e` overlooks
is_set_up=1"""

NAME = re.compile(r"(?P<job>\d+)(_(?P<task>\d+))?$")


OVER = {
    "COMPLETED": "has ended",
    "CANCELLED": "was cancelled",
    "REVOKED": "was cancelled",
    "PREEMPTED": "was pre-empted",
    "TIMEOUT": "was out of time",
    "DEADLINE": "was out of time",
    "NODE_FAIL": "lost its node",
    "BOOT_FAIL": "lost its node",
    "OUT_OF_MEMORY": "was out of memory",
    "FAILED": "failed",
    "GONE": "is no longer known to Slurm",
}
"""Slurm's words for tasks of which nothing more will come, as a message has them; GONE is ours."""

RUNNING = ("RUNNING", "COMPLETING", "SIGNALING", "STAGE_OUT", "SUSPENDED")
"""Whatever else Slurm says, such as PENDING or REQUEUED, means that the task waits."""


class Status(NamedTuple):
    """The state of a task in Slurm's word, and its reason, such as Priority, if it waits."""

    state: str
    reason: str = ""

    @property
    def waits(self) -> bool:
        """True if it has not begun, or is to begin again."""
        return self.state not in (*OVER, *RUNNING)


class Limits(NamedTuple):
    """A cluster's name, and how many tasks an array has there at most."""

    cluster: str
    tasks: int


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
        """Slurm's name of a task; a single one is no array."""
        return f"{self.job}_{task}" if self.tasks > 1 else self.job

    def statuses(self) -> dict[int, Status] | None:
        """The status of every task by number; None while Slurm does not answer."""
        found = _ask("squeue", "-h", "-r", "-t", "all", "-j", self.job, "-o", "%i|%T|%r")
        if found is None:
            return None
        if len(found) < self.tasks:  # some ended a while ago
            accounts = _ask("sacct", "-n", "-P", "-X", "-j", self.job, "-o", "JobID,State")
            found = (accounts or {}) | found
        return {task: found.get(task, Status("GONE")) for task in range(self.tasks)}

    def is_in_queue(self) -> bool | None:
        """True if any task waits or runs; None while Slurm does not answer."""
        return is_in_queue(self.statuses())

    def cancel(self, *, waiting_only: bool = False) -> None:
        """Take the tasks out of the queue, and end those that run unless told otherwise."""
        only = ["--state=PENDING"] if waiting_only else []
        _run(["scancel", *only, self.job])

    def requeue(self, task: int) -> bool:
        """Start a task again that is over, and return whether Slurm does."""
        done = _run(["scontrol", "requeue", self.name(task)])
        return done is not None and done.returncode == 0

    def tail(self, task: int) -> str:
        """The last lines of a task's log, as one, and where it is."""
        logs = [self.folder / f"{self.name(task)}_0_log.{kind}" for kind in ("err", "out")]
        for path in logs:
            with suppress(OSError), open_regular(path) as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - 4096))
                lines = map(str.strip, file.read().decode(errors="replace").splitlines())
                if last := list(filter(None, lines))[-TAIL_LINES:]:
                    return f"{path} ends: {' / '.join(last)}"
        return f"{logs[0]} is empty" if logs[0].exists() else f"it left no {logs[0]}"


def is_in_queue(statuses: Mapping[int, Status] | None) -> bool | None:
    """True if any of these tasks waits or runs; None if Slurm does not answer."""
    return None if statuses is None else not all(s.state in OVER for s in statuses.values())


def queued(statuses: Mapping[int, Status]) -> tuple[int, str]:
    """The number of tasks that wait, and Slurm's reason; 0 while others run."""
    if any(each.state in RUNNING for each in statuses.values()):
        return 0, ""
    why = dict.fromkeys(each.reason for each in statuses.values() if each.reason)
    return sum(each.waits for each in statuses.values()), ", ".join(why)


def check(options: Slurm) -> None:
    """Check what can be checked before anything is begun.

    Raises:
        UsageError: there is no Slurm, or no submitit, or an option goes round what is needed.
    """
    _words(options.options or "")
    for name in OVERRIDING:
        if name in os.environ:
            raise UsageError(
                f"{name}={os.environ[name]} would go round what executor=slurm asks for",
                f"type unset {name}; executor.time=MINUTES is the limit of a task",
            )
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

    given = {
        **{name: getattr(options, name) for name in GIVEN},
        "job_name": "normexp",
        "gpus_per_node": options.gpus or None,
        "setup": [SET_UP.format(setup=options.setup)] if options.setup else None,
        "signal_delay_s": SIGNAL_SECONDS,
        "additional_parameters": {"requeue": True, **_words(options.options or "")},
    }
    python = f"{shlex.quote(sys.executable)} -P"  # without the directory where sbatch is typed
    executor = SlurmExecutor(folder, max_num_timeout=MOST_TIMEOUTS, python=python)
    executor.update_parameters(
        wckey=None, **{name: value for name, value in given.items() if value is not None}
    )
    try:
        with redirect_stderr(io.StringIO()), executor.batch():  # what sbatch says is in the error
            jobs = [executor.submit(call) for call in calls]
    except (FailedJobError, FailedSubmissionError) as error:
        raise UsageError(
            f"Slurm refuses: {_refusal(str(error))}",
            "change executor.partition, account, time or options; sinfo shows what there is",
        ) from error
    return Array(folder, jobs[0].job_id.partition("_")[0], len(calls))


def limits() -> Limits:
    """The limits of this cluster."""
    done = _run(["scontrol", "show", "config"])
    found = dict(re.findall(r"(\w+)\s*=\s*(\S+)", done.stdout if done else ""))
    tasks = found.get("MaxArraySize", "")
    return Limits(found.get("ClusterName", ""), int(tasks) if tasks.isdigit() else MOST_TASKS)


def name_here(environment: Mapping[str, str]) -> str:
    """Slurm's name of the task that this process is, of an array or alone."""
    array, task = environment.get("SLURM_ARRAY_JOB_ID"), environment.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{task}" if array and task else environment.get("SLURM_JOB_ID", "0")


def _words(text: str) -> dict[str, Any]:
    """More options of sbatch by name.

    Raises:
        UsageError: it is no list of words, or has an option that the executor itself gives.
    """
    try:
        pairs = [word.removeprefix("--").partition("=") for word in shlex.split(text)]
    except ValueError as error:
        raise UsageError(
            f"executor.options={text!r}: {error}",
            "write options as for sbatch, without dashes: executor.options='mem=8G qos=long'",
        ) from error
    words = {name.replace("-", "_"): value if equals else True for name, equals, value in pairs}
    for word in words:
        for known in (*FIELDS, *NEEDED):
            if word == known or (len(word) >= SHORTEST and known.startswith(word)):
                raise UsageError(
                    f"executor.options={text!r}: {word} is not for options, normexp sets it",
                    f"type executor.{FIELDS[known]}" if known in FIELDS else "leave it out",
                )
    return words


def _ask(*command: str) -> dict[int, Status] | None:
    """The statuses of tasks by their number; None if there was no answer."""
    done = _run(command)
    if done is None or (done.returncode and "Invalid job id" not in done.stderr):
        return None
    found = {}
    for line in done.stdout.splitlines():
        name, state, reason = [*line.strip().split("|"), "", ""][:3]
        parts = NAME.match(name)
        if parts is not None:
            is_now = Status(state.partition(" ")[0], reason)  # "CANCELLED by 0"
            if "launch failed" in reason.lower():  # and held, for somebody to look at the node
                is_now = Status("FAILED")
            if not is_now.waits or reason in {"None", "(null)"}:
                is_now = is_now._replace(reason="")
            found[int(parts["task"] or 0)] = is_now
    return found


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str] | None:
    try:
        return subprocess.run(  # noqa: S603  Slurm's own commands
            command, capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return None


def _refusal(text: str) -> str:
    """The words of sbatch, of all that submitit repeats."""
    words = [line.removeprefix("sbatch: ") for line in text.splitlines() if "sbatch: " in line]
    lines = [line.removeprefix("error: ").strip() for line in words]
    return "; ".join(dict.fromkeys(lines)) or text.strip().splitlines()[-1]

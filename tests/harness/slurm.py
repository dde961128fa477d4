"""Slurm's own daemons on this machine alone: for tests, and for trying it by hand.

`python tests/harness/slurm.py` starts them and says what to type in another terminal; Ctrl-C ends
them. Needs Debian's slurm-wlm and munge; not root: the daemons are the user's, and so are the jobs.
All files are in a temporary directory, all addresses on loopback. There is no accounting (`sacct`).
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")
EXPORT = "export SLURM_CONF="
LONGEST_UP, LONGEST = 600, 30
"""Seconds that a daemon may take to come up; to answer, or to go down before it is killed."""

CONFIGURATION = """
ClusterName=normexp
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ctld}
SlurmdPort={slurmd}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={place}/munge.socket,cred_expire=5
CredType=cred/munge
StateSaveLocation={place}/state
SlurmdSpoolDir={place}/spool
SlurmctldPidFile={place}/slurmctld.pid
SlurmdPidFile={place}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=1,sched_min_interval=0,batch_sched_delay=0,bf_interval=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
ReturnToService=2
MinJobAge=300
KillWait=5
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=16000 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE PriorityTier=2 PreemptMode=OFF
PartitionName=requeue Nodes=ALL MaxTime=INFINITE PriorityTier=1 PreemptMode=REQUEUE
PartitionName=cancel Nodes=ALL MaxTime=INFINITE PriorityTier=1 PreemptMode=CANCEL
"""


def missing() -> str | None:
    """Why Slurm cannot be started here, if so."""
    there = all(shutil.which(program, path=path()) for program in PROGRAMS)
    return None if there else "Debian's slurm-wlm and munge are not installed"


def path() -> str:
    """Where programs are, those of administrators included."""
    return f"{os.environ.get('PATH', os.defpath)}:/usr/sbin"


@contextmanager
def cluster() -> Iterator[Path]:
    """A cluster of one node; yields its slurm.conf, and leaves nothing behind.

    It is in the hands of a process that ends it with this one, however this one ends.
    """
    command = ["setpriv", "--pdeathsig", "TERM", sys.executable, __file__]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline().strip()
        assert line.startswith(EXPORT), "Slurm has not come up, see stderr"
        yield Path(line.removeprefix(EXPORT))
    finally:
        process.terminate()
        process.communicate()


@contextmanager
def daemons_of_a_cluster() -> Iterator[Path]:
    """The same in this process."""
    with tempfile.TemporaryDirectory(prefix="slurm-") as name, ExitStack() as daemons:
        place = Path(name)
        key, sock = place / "munge.key", place / "munge.socket"
        key.touch(0o600)
        key.write_bytes(os.urandom(1024))
        conf = place / "slurm.conf"
        conf.write_text(configuration(place))
        names = [f"--{option}-file={place}/munge.{option}" for option in ("pid", "log", "seed")]
        munged = ["munged", "--foreground", "--force", f"--key-file={key}", f"--socket={sock}"]
        daemons.enter_context(daemon(place, [*munged, *names]))
        wait(sock.is_socket, "munged", place)
        daemons.enter_context(daemon(place, ["slurmctld", "-D", "-f", str(conf)]))
        daemons.enter_context(daemon(place, ["slurmd", "-D", "-f", str(conf)]))
        daemons.callback(end_jobs, conf)
        wait(lambda: ask(conf, "sinfo", "-h", "-o", "%T") == {"idle"}, "slurmd", place)
        yield conf


def configuration(place: Path) -> str:
    """The text of slurm.conf, with ports that were free a moment ago."""
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        ports = {"ctld": one.getsockname()[1], "slurmd": other.getsockname()[1]}
    host = socket.gethostname().partition(".")[0]
    user = pwd.getpwuid(os.getuid()).pw_name
    return CONFIGURATION.format(place=place, host=host, user=user, **ports)


@contextmanager
def daemon(place: Path, command: list[str]) -> Iterator[None]:
    """One daemon, ended with the block or with the process that started it."""
    with (place / f"{command[0]}.log").open("w") as log:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", *command],  # noqa: S607
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env=os.environ | {"SLURM_CONF": f"{place}/slurm.conf", "PATH": path()},
        )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(LONGEST)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def ask(conf: Path, *command: str) -> set[str]:
    """The lines of an answer of Slurm's; none while it does not answer."""
    environment = os.environ | {"SLURM_CONF": str(conf)}
    with suppress(subprocess.TimeoutExpired):
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env=environment, timeout=LONGEST
        )
        return set(done.stdout.splitlines())
    return set()


def wait(until: Callable[[], bool], name: str, place: Path) -> None:
    """Wait for a daemon.

    Raises:
        RuntimeError: with what the daemons say, if it takes too long.
    """
    deadline = time.monotonic() + LONGEST_UP
    while not until():
        if time.monotonic() > deadline:
            logs = "\n".join(log.read_text()[-2000:] for log in place.glob("*.log"))
            raise RuntimeError(f"{name} has not come up within {LONGEST_UP} s:\n{logs}")
        time.sleep(0.1)


def end_jobs(conf: Path) -> None:
    """Cancel what is left, and wait: daemons that end would leave it running."""
    ask(conf, "scancel", "--me")
    deadline = time.monotonic() + LONGEST
    supervised = (conf.parent / "spool").glob
    while any(each.is_socket() for each in supervised("*_*")) and time.monotonic() < deadline:
        time.sleep(0.1)


def main() -> int:
    """Start it for a person, until Ctrl-C."""
    if reason := missing():
        print(f"error: {reason}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt), daemons_of_a_cluster() as conf:
        print(f"{EXPORT}{conf}", flush=True)
        print("Slurm is running; Ctrl-C ends it.", file=sys.stderr)
        signal.pause()
    return 0


if __name__ == "__main__":
    sys.exit(main())

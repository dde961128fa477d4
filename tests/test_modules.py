"""Files of the current directory: no worker, task or driver runs them, whatever their names."""

import os
import subprocess
import sys
from pathlib import Path

from conftest import SMALL, run_files, store_of
from ray_cluster import cluster as ray_nodes
from ray_cluster import need_ray

from normexp.executors import processes

IMAGES = ["data=digits", "data.train_size=64", "data.test_size=20", "model=lenet", "norm=batch",
          "norm.momentum=0.1", "train.epochs=1", "executor.stack_size=1"]  # fmt: skip
PROCESSES = [*IMAGES, "seed=0,1", "executor.processes=true", "executor.workers=2"]
TESTS = [str(Path(__file__).parent), str(Path(__file__).parent / "harness")]
SMALLEST = [*SMALL, "norm=batch", "norm.momentum=0.1", "seed=0,1", "executor.stack_size=1"]
INSTALLED = ("joblib", "numpy", "torch", "ray", "submitit", "cloudpickle", "pyarrow", "yaml")


def litter(place: Path) -> Path:
    """Leave a file for every module that could be meant; where those that are run say so."""
    told = place.absolute() / "told"
    for name in {*sys.stdlib_module_names, *INSTALLED} - {"__main__"}:
        (place / f"{name}.py").write_text(
            f"open({str(told)!r}, 'a').write(__name__ + '\\n')\nraise ImportError(__file__)\n"
        )
    return told


def swept(*overrides: str, environment: dict[str, str] | None = None) -> None:
    """A sweep by the command that is installed, among such files; none of them is run."""
    told = litter(Path.cwd())
    command = [str(Path(sys.executable).with_name("normexp")), "sweep", *overrides]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | (environment or {}),
    )

    assert done.returncode == 0, done.stderr
    assert not told.exists(), told.read_text()


def test_processes_run_no_file_of_the_current_directory() -> None:
    """And give the bits that threads give elsewhere."""
    swept(*PROCESSES)
    threads = store_of(Path("threads"), *PROCESSES, "executor.processes=false")

    assert run_files(Path("runs")) == run_files(threads)


def test_a_script_of_the_directory_changes_nothing() -> None:
    """Its own modules are loaded by then, as a notebook's are: those of its processes are not."""
    told = Path("told").absolute()
    code = (
        "import sys; sys.path[:0] = [*TESTS, '']\n"
        "import normexp, normexp.cli, test_modules, joblib, pathlib\n"
        "normexp.sweep(*WORDS, 'store.dir=before')\n"
        "del sys.path[:2]\n"
        "from joblib.externals.loky import get_reusable_executor\n"
        "get_reusable_executor().shutdown()\n"
        "test_modules.litter(pathlib.Path.cwd())\n"
        "result = normexp.sweep(*WORDS)\n"
        "assert not result.errors, result.errors\n"
        "assert sys.path[0] == '' and 'PYTHONSAFEPATH' not in __import__('os').environ\n"
    )
    code = code.replace("TESTS", repr(TESTS)).replace("WORDS", repr(PROCESSES))
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert not told.exists(), told.read_text()
    assert run_files(Path("runs")) == run_files(Path("before"))


class Unreadable:
    """What a process cannot read: it lacks the module."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return __import__, ("nosuch",)


def say(_: object) -> str:
    """Some work."""
    return "done"


def abandoned() -> None:
    """Nobody leaves early here."""


def leave(code: int) -> None:
    """End the process as a library does that cannot go on."""
    os._exit(code)


def test_a_process_that_cannot_import_says_so() -> None:
    """The module that it lacks; one that ends by itself, with which code. Memory there was."""
    ((_, lacking),) = processes.run([Unreadable()], say, 1, abandoned)
    ((_, left),) = processes.run([7], leave, 1, abandoned)

    assert "ModuleNotFoundError: No module named 'nosuch'" in str(lacking)
    assert "EXIT(7)" in str(left)
    assert "memory" not in str(lacking) + str(left)


def test_processes_that_cannot_start_say_so() -> None:
    """A broken library that only they meet, in a place that the user has named."""
    Path("own").mkdir()
    Path("own/joblib.py").write_text("raise ImportError('this joblib is broken')\n")
    code = (
        "import os, sys, joblib; sys.path[:0] = TESTS\n"
        "from test_modules import abandoned, say; from normexp.executors import processes\n"
        "os.environ['PYTHONPATH'] = 'own'\n"
        "print([str(told) for _, told in processes.run([1, 2], say, 2, abandoned)])\n"
    )
    command = [sys.executable, "-c", code.replace("TESTS", repr(TESTS))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)

    assert "EXIT(1)" in done.stdout
    assert "memory" not in done.stdout
    assert "this joblib is broken" in done.stderr


def test_slurm_s_tasks_run_no_file_of_the_current_directory(cluster: Path) -> None:
    """Nor do the processes of a task of many processors."""
    swept(*SMALLEST, "executor=slurm", "executor.time=10", environment={"SLURM_CONF": str(cluster)})
    for path in Path.cwd().glob("*.py"):
        path.unlink()
    here = store_of(Path("here"), *SMALLEST)

    assert run_files(Path("runs")) == run_files(here)
    on_many = ["executor=slurm", "executor.time=10", "executor.cpus_per_task=2", "seed=0,1"]
    swept(*IMAGES, *on_many, "store.dir=images", environment={"SLURM_CONF": str(cluster)})


def test_ray_s_driver_and_tasks_run_no_file_of_the_current_directory() -> None:
    """In a cluster of the sweep's own, and in one that is there."""
    need_ray()
    with ray_nodes() as there:
        swept(*SMALLEST, "executor=ray", f"executor.address={there.address}", "store.dir=joined",
              environment={"RAY_AUTH_MODE": "disabled"})  # fmt: skip
    swept(*SMALLEST, "executor=ray")
    for path in Path.cwd().glob("*.py"):
        path.unlink()
    here = store_of(Path("here"), *SMALLEST)

    assert run_files(Path("runs")) == run_files(Path("joined")) == run_files(here)

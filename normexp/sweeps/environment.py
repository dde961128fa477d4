"""The environment in which numbers were made: recorded beside them, never part of their identity.

The code among it is one digest: two installations of one digest run the same program. A commit says
less: it changes with every README, and an installed wheel has none.
"""

import ast
import hashlib
import os
import platform
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import cache_from_source
from pathlib import Path
from typing import Any

from normexp.errors import UsageError
from normexp.store.files import machine, write_file

PACKAGES = ("normexp", "torch", "numpy", "hydra-core", "omegaconf", "pyarrow", "safetensors",
            "scikit-learn", "scipy", "pandas", "joblib", "numba", "llvmlite")  # fmt: skip
INSTRUCTIONS = ("avx", "avx2", "fma", "avx512f", "avx512_bf16", "amx_tile")
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")

DECIDING = (
    "code", "torch", "torch_git", "torch_config", "torch_capability", "torch_deterministic",
    "torch_matmul_precision", "torch_mkldnn", "torch_flush_denormal", "numpy", "numba", "llvmlite",
    "scikit-learn",
    "libc", "cpu", "instructions", "mkl_cbwr", "aten_cpu_capability", "device",
)  # fmt: skip
"""The entries that a run's numbers depend on: another value may mean other bits.

The code, the libraries that compute (scikit-learn brings the digits, the C library the cosine of
schedules), the processor and the settings by which they pick their kernels. Left out on purpose:
SciPy and pandas only sum up, pyarrow and safetensors write the same numbers into other bytes,
Hydra's part is in the configuration, and numbers depend on threads and cores nowhere (promise 3).
"""

ALWAYS = {"device": "cpu"}
"""Entries of records that do not have them: there was no other choice then."""

PROCESSOR = ("torch_capability", "cpu", "instructions")
"""Those that tell one node of a cluster from another."""

ROOMS = ("config", "data", "engine", "nets")
"""The rooms whose every file takes part in a run's numbers."""

# Of the store, what turns a record into a run's tables and back. Not layout, files, sweep,
# stored, read: where a run stands, and how runs are listed, changes none of its numbers.
FILES = (
    "trained.py",
    "numerics.py",
    "store/columns.py",
    "store/parquet.py",
    "store/tables.py",
)
"""The single files that do too."""


@cache
def environment() -> dict[str, Any]:
    """Versions, machine, settings and code; JSON types only, PyTorch is not imported."""
    flags = _cpu("flags").split()
    affinity = getattr(os, "sched_getaffinity", None)  # Linux has it
    return {
        "python": platform.python_version(),
        **{name: installed(name) for name in PACKAGES},
        "platform": platform.platform(),
        "libc": " ".join(platform.libc_ver()).strip(),
        "cpu": _cpu("model name"),
        "instructions": [name for name in INSTRUCTIONS if name in flags],
        "cores": os.cpu_count(),
        "usable_cores": len(affinity(0)) if affinity else None,
        "threads": {name: os.environ.get(name) for name in THREADS},
        "mkl_cbwr": os.environ.get("MKL_CBWR"),
        "aten_cpu_capability": os.environ.get("ATEN_CPU_CAPABILITY"),
        "commit": _git("describe", "--always", "--dirty=+", "--abbrev=12").decode().strip() or None,
        "dirty": _dirty(),
        "code": code(),
        **ALWAYS,
    }


@cache
def torch_environment() -> dict[str, Any]:
    """PyTorch's build and settings; imports it, and so stands apart. Keys begin with `torch_`."""
    import torch
    from torch.backends import mkldnn

    from normexp.numerics import one_thread

    with one_thread():
        threads = torch.get_num_threads()
    tiny = torch.tensor(1e-310, dtype=torch.float64)  # there is a setter and no getter
    return {
        "torch_build": str(torch.__version__),
        "torch_git": torch.version.git_version,
        "torch_cuda": torch.version.cuda,
        "torch_capability": torch.backends.cpu.get_cpu_capability(),
        "torch_threads": threads,
        "torch_deterministic": torch.are_deterministic_algorithms_enabled(),
        "torch_matmul_precision": torch.get_float32_matmul_precision(),
        "torch_mkldnn": mkldnn.is_available() and bool(mkldnn.enabled),  # type: ignore[no-untyped-call]
        "torch_flush_denormal": bool((tiny * 0.5 == 0).item()),
        "torch_config": _short(torch.__config__.show().encode()),
    }


def device_environment(device: str) -> dict[str, Any]:
    """The entries about what trains the networks, in the place of `environment`'s.

    Raises:
        UsageError: it is not here.
    """
    if device == "cpu":
        return ALWAYS
    import torch

    if not torch.cuda.is_available():
        raise UsageError(
            f"executor.device={device}: PyTorch {torch.__version__} sees no GPU on {machine()}",
            "leave it out: CPUs train; or install PyTorch for your GPU, see pytorch.org",
        )
    return {"device": device, "gpu": torch.cuda.get_device_name()}


def deciding(environment: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of an environment that numbers depend on."""
    return {name: environment[name] for name in DECIDING if name in environment}


def changed(recorded: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The entries that a run's numbers depend on and that are others now: `(recorded, now)`.

    An entry that either side lacks is unknown rather than changed: see `unknown`.

    Args:
        recorded: a manifest's environment, of whatever age.
        now: `environment()`, with or without `torch_environment()`.
    """
    recorded = ALWAYS | dict(recorded)
    known = [name for name in DECIDING if name in recorded and name in now]
    return {name: (recorded[name], now[name]) for name in known if recorded[name] != now[name]}


def changed_since(
    manifest: Mapping[str, Any], now: Mapping[str, Any]
) -> dict[str, tuple[Any, Any]]:
    """The same for all that a run or trajectory was made with: a run is as old as its training."""
    training = manifest.get("training_environment")
    trained = changed(training, now) if isinstance(training, Mapping) else {}
    return trained | changed(manifest["environment"], now)


def unknown(recorded: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[str, ...]:
    """The entries that numbers depend on and that an older record lacks."""
    return tuple(name for name in DECIDING if name in now and name not in {*ALWAYS, *recorded})


@cache
def code() -> str:
    """12 hex digits over the source that makes numbers, of the normexp that is running.

    Parsing takes 0.2 s: what came of this very source is kept where Python keeps compiled files.
    """
    package = Path(__file__).parents[1]
    source = b"\0".join(path.read_bytes() for path in (Path(__file__), *_sources(package)))
    kept = Path(cache_from_source(__file__)).with_name(f"code-{_short(source)}.txt")
    with suppress(OSError):
        return kept.read_text("utf-8")
    made = digest(package)
    with suppress(OSError):  # of a package that others have installed
        kept.parent.mkdir(exist_ok=True)
        write_file(kept, made.encode())
    return made


def digest(package: Path) -> str:
    """12 hex digits over the files that make numbers in a package directory.

    Comments, docstrings, blank lines and formatting are no part of it, nor is Python's version.
    All else is, messages and descriptions of fields included: once too often rather than never.
    """
    hashed = hashlib.sha256()
    for path in _sources(package):
        parts = [path.relative_to(package).as_posix(), *_words(ast.parse(path.read_bytes()))]
        hashed.update("\n".join(parts).encode())
    return hashed.hexdigest()[:12]


def _sources(package: Path) -> list[Path]:
    rooms = [path for room in ROOMS for path in (package / room).rglob("*.py")]
    return sorted([*rooms, *(package / name for name in FILES)])


def installed(name: str) -> str | None:
    """The version of a package, None if it is not there."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _cpu(key: str) -> str:
    """A line of /proc/cpuinfo; empty where there is none."""
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(key)), "")
    return ""


def _dirty() -> str | None:
    """A digest of what the working tree adds to its commit; None if nothing, or if installed."""
    parts = [_git("diff", "HEAD", "--binary", "--no-color", "--no-ext-diff")]
    names = _git("ls-files", "--others", "--exclude-standard", "-z", "--", "normexp", "configs")
    for name in names.decode().split("\0")[:-1]:
        path = _checkout() / name
        parts += [name.encode(), path.read_bytes() if path.is_file() else b""]  # or a link
    return _short(b"\0".join(parts)) if any(parts) else None


def _git(*arguments: str) -> bytes:
    """Git's answer about the working tree that normexp runs from; empty if it is none."""
    if (_checkout() / ".git").exists():
        command = ["git", "-C", str(_checkout()), *arguments]
        with suppress(OSError, subprocess.SubprocessError):
            return subprocess.run(command, capture_output=True, timeout=10, check=True).stdout  # noqa: S603
    return b""


def _checkout() -> Path:
    return Path(__file__).parents[2]


def _short(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]


def _words(node: Any) -> Iterator[str]:  # noqa: ANN401  a node's fields hold nodes, lists, texts
    """A syntax tree as words, whatever fields a later Python adds and leaves empty."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return  # a text that stands alone: a docstring, of a constant too
    if isinstance(node, ast.AST):
        yield f"({node.__class__.__name__}"
        for name in node._fields:
            value = getattr(node, name, None)
            if value is not None and value != []:
                yield name
                yield from _words(value)
        yield ")"
    elif isinstance(node, list):
        for words in filter(None, map(list, map(_words, node))):
            yield from (*words, ",")
    else:
        yield repr(node)

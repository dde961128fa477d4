"""The installation examined: everything the promises rest on, tried out on this machine."""

import os
import platform
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from normexp.config.field import expanded, quoted
from normexp.errors import NormexpError

TINY = ("norm=none,batch", "norm.momentum=0.1", "seed=range(4)", "model.depth=2", "model.width=7",
        "data.train_size=41", "data.test_size=20", "train.batch_size=13", "train.epochs=2",
        "executor.stack_size=3")  # fmt: skip
"""A study of eight trainings in four stacks, of sizes that are awkward for vectors."""


@dataclass(frozen=True)
class Check:
    """One thing that must hold.

    Attributes:
        name: what was examined.
        ok: whether it holds.
        found: what there is, or what is wrong.
        advice: what to do about it; None if nothing is to be done.
    """

    name: str
    ok: bool
    found: str
    advice: str | None = None


def examine(store: Path) -> Iterator[Check]:
    """Every check as it ends, the quick ones first.

    Args:
        store: the directory that must be writable, there or not.
    """
    examinations = {
        "packages": packages,
        "configs": configs,
        "store": lambda: writable(store),
        "torch": build,
        "same bits": same_bits,
    }
    for name, examination in examinations.items():
        try:
            yield Check(name, ok=True, found=examination())
        except NormexpError as error:
            yield Check(name, ok=False, found=error.message, advice=error.hint)
        except Exception as error:  # noqa: BLE001  a broken installation may raise anything
            message = f"{type(error).__name__}: {' '.join(str(error).split())}"
            yield Check(name, ok=False, found=message, advice="install normexp anew")


def report(checks: Sequence[Check]) -> dict[str, Any]:
    """The checks and the environment as data, with PyTorch's part if it imports."""
    from normexp.sweeps.environment import environment, torch_environment

    imports = any(check.name == "torch" and check.ok for check in checks)
    return {
        "ok": all(check.ok for check in checks),
        "environment": environment() | (torch_environment() if imports else {}),
        "checks": [asdict(check) for check in checks],
    }


def packages() -> str:
    """Python and every package that normexp requires, in a version that will do."""
    from importlib.metadata import metadata, requires

    from packaging.requirements import Requirement
    from packaging.specifiers import SpecifierSet

    from normexp.sweeps.environment import installed

    wanted = SpecifierSet(metadata("normexp")["Requires-Python"] or "")
    if platform.python_version() not in wanted:
        raise NormexpError(
            f"Python {platform.python_version()} runs, {wanted} is needed",
            "install normexp with another Python",
        )
    needed = [Requirement(line) for line in requires("normexp") or ()]
    ours = [each for each in needed if each.marker is None or each.marker.evaluate({"extra": ""})]
    versions = {each.name: installed(each.name) for each in ours}
    lacking = []
    for each in ours:
        there = versions[each.name]
        if there is None or not each.specifier.contains(there, prereleases=True):
            lacking.append(each)
    if lacking:
        found = ", ".join(f"{each.name} {versions[each.name] or 'missing'}" for each in lacking)
        names = " ".join(f"'{each.name}{each.specifier}'" for each in lacking)
        raise NormexpError(found, f"type pip install {names}")
    return f"{len(ours)} installed, each in a version that will do"


def configs() -> str:
    """Every choice of every group of the packaged configs, composed and read by the schema."""
    from normexp.config.schema import FRAMEWORK, packaged_configs
    from normexp.config.tree import from_tree
    from normexp.study.compose import composer, resolve
    from normexp.study.run import GROUPS, framed

    if not (packaged_configs() / "config.yaml").is_file():
        raise NormexpError(f"there is none in {packaged_configs()}", "install normexp anew")
    with composer() as hydra:
        choices = [(group, choice) for group in GROUPS for choice in hydra.options(group)]
        for group, choice in choices:
            if group == FRAMEWORK:
                tree = framed(hydra, {group: choice}, is_typed=False).tree
            else:
                tree, _ = hydra.tree({group: choice})
                del tree["study"]
            from_tree(resolve(tree))
    return f"{len(choices)} choices in {len(GROUPS)} groups compose"


def writable(store: Path) -> str:
    """A file can be written where the store is or will be; how much room there is."""
    place = expanded(store).absolute()
    there = next(path for path in (place, *place.parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(b"normexp")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise NormexpError(
            f"cannot write in {store}: {error.strerror or error}", "type --dir DIR for another"
        ) from error
    free = shutil.disk_usage(there).free
    return f"{store} can be written, {free / 1e9:,.1f} GB are free"


def build() -> str:
    """PyTorch's build, which must import."""
    from normexp.sweeps.environment import torch_environment

    entries = torch_environment()
    cuda = f"CUDA {entries['torch_cuda']}" if entries["torch_cuda"] else "CPU only"
    return f"{entries['torch_build']}, {cuda}, {entries['torch_capability']} kernels"


def same_bits() -> str:
    """A tiny study, made again, and with two workers: the same files to the bit."""
    with tempfile.TemporaryDirectory(prefix="normexp-doctor-") as place:
        once = _swept(Path(place) / "once", 1)
        ways = {"made again": 1, "made by two workers": 2}
        made = {way: _swept(Path(place) / way, workers) for way, workers in ways.items()}
    for way, files in made.items():
        differing = [name for name in once if once[name] != files.get(name)]
        if differing or len(once) != len(files):
            raise NormexpError(
                f"{len(differing)} of {len(once)} runs and trajectories differ when {way}",
                "type normexp doctor --json and report its output",
            )
    return f"{len(once)} runs and trajectories made three times are equal to the bit"


def _swept(store: Path, workers: int) -> dict[str, Any]:
    """The digests of every file of a tiny study's runs and trajectories."""
    from normexp.store.layout import complete, studies
    from normexp.store.manifest import read_manifest
    from normexp.sweeps.sweep import sweep

    result = sweep(TINY, f"store.dir={quoted(str(store))}", f"executor.workers={workers}")
    if result.failed:
        raise NormexpError(f"{len(result.failed)} runs failed: {'; '.join(result.errors)}")
    (study,) = studies(store)
    made = [*complete(study.path), *complete(study.trajectories)]
    return {path.name: read_manifest(path)["files"] for path in made}

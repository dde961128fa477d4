"""Files that appear whole or not at all: staged directories, digests, YAML, JSON and Parquet."""

import hashlib
import json
import math
import os
import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from normexp.config.field import Scalar

MANIFEST = "manifest.json"
STAGING_SUFFIX = ".partial"


@contextmanager
def staged(final: Path) -> Iterator[Path]:
    """A directory to fill, which takes its final name at the end.

    If the name is taken by then, another process has stored the same thing: ours is dropped.
    """
    owner = f"{os.getpid()}-{threading.get_ident()}"
    partial = final.parent / f".{final.name}.{owner}{STAGING_SUFFIX}"
    partial.mkdir(parents=True)
    try:
        yield partial
        try:
            partial.rename(final)
        except OSError:
            if not (final / MANIFEST).is_file():
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def remove_abandoned(directory: Path) -> None:
    """Delete what processes of this machine left half-written when they were killed."""
    for partial in directory.glob(f".*{STAGING_SUFFIX}"):
        owner = partial.name.removesuffix(STAGING_SUFFIX).rpartition(".")[2].partition("-")[0]
        if owner.isdigit() and not Path(f"/proc/{owner}").exists() and Path("/proc").exists():
            shutil.rmtree(partial, ignore_errors=True)


def write_manifest(directory: Path, content: Mapping[str, Any]) -> dict[str, Any]:
    """Write the manifest, last, over the digests of all files that are there; give it back."""
    files = {
        str(path.relative_to(directory)): {"sha256": digest(path), "bytes": path.stat().st_size}
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }
    whole: dict[str, Any] = finite({**content, "files": files})
    write_json(directory / MANIFEST, whole)
    return whole


def read_manifest(directory: Path) -> dict[str, Any]:
    """The manifest of a complete directory."""
    manifest: dict[str, Any] = json.loads((directory / MANIFEST).read_bytes())
    return manifest


def digest(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_json(path: Path, content: object) -> None:
    """JSON for people and machines: indented, and null for what is not a finite number."""
    text = json.dumps(finite(content), indent=1, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def finite(content: Any) -> Any:  # noqa: ANN401
    """The same with None for nan and infinities, which JSON does not know."""
    if isinstance(content, float):
        return content if math.isfinite(content) else None
    if isinstance(content, Mapping):
        return {key: finite(value) for key, value in content.items()}
    return [finite(value) for value in content] if isinstance(content, list | tuple) else content


def write_yaml(path: Path, content: Mapping[str, Any] | list[str]) -> None:
    """YAML in the order given."""
    path.write_text(to_yaml(content), encoding="utf-8")


def config_yaml(tree: Mapping[str, Any]) -> str:
    """A nested configuration as YAML; sections are cached, since runs share most of theirs."""
    parts = []
    for name, value in tree.items():
        items = tuple(value.items()) if isinstance(value, Mapping) else value
        parts.append(_section_yaml(name, items))
    return "".join(parts)


def to_yaml(content: object) -> str:
    """YAML in the order given."""
    return str(yaml.dump(content, Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True))


@lru_cache(maxsize=16384, typed=True)
def _section_yaml(name: str, items: tuple[tuple[str, Scalar], ...] | Scalar) -> str:
    return to_yaml({name: dict(items) if isinstance(items, tuple) else items})

"""Directories that appear whole or not at all, and the YAML and JSON in them."""

import hashlib
import json
import math
import os
import re
import shutil
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from normexp.config.field import Scalar
from normexp.errors import NormexpError
from normexp.store.process import lives, machine

MANIFEST = "manifest.json"
DAMAGE = "damage.json"
"""Left by `verify` in a directory that is not whole; whatever is made anew there has it not."""

CERTIFICATE = "certificate.json"
"""Left by `reproduce` in a run's directory: what came of making it again; no file of the run."""

STAGING_SUFFIX = ".partial"
OWNER = re.compile(r"\.(?P<process>\d+)-\d+-\w+-(?P<machine>[^.]*)\.partial$")


def write_directory(final: Path, files: Mapping[str, bytes], manifest: Mapping[str, Any]) -> None:
    """Write a directory that appears whole or not at all, in the place of what is there.

    The manifest is written last, with the digests of all files.

    Args:
        final: its place.
        files: contents by relative name.
        manifest: what it says beyond the digests.
    """
    partial = staging(final, "new")
    digests = {
        name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        for name, content in files.items()
    }
    partial.mkdir(parents=True)
    try:
        for folder in {Path(name).parent for name in files} - {Path()}:
            (partial / folder).mkdir(parents=True)
        for name, content in {**files, MANIFEST: to_json({**manifest, "files": digests})}.items():
            (partial / name).write_bytes(content)
        take_name(partial, final)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_file(final: Path, content: bytes) -> None:
    """Write a file that appears whole or not at all, in the place of what is there."""
    partial = staging(final, "new")
    try:
        partial.write_bytes(content)
        partial.replace(final)
    finally:
        partial.unlink(missing_ok=True)


def take_name(partial: Path, final: Path) -> None:
    """Rename a finished directory to its place; what is there has to go."""
    old = staging(final, "old")
    with suppress(OSError):  # nothing there, or another process is a moment ahead of us
        final.rename(old)
    try:
        partial.rename(final)
    except OSError:
        if not (final / MANIFEST).is_file():
            raise
    shutil.rmtree(old, ignore_errors=True)


def staging(final: Path, what: str) -> Path:
    """A hidden name beside the final one that tells whose it is."""
    owner = f"{os.getpid()}-{threading.get_ident()}-{what}-{machine()}"
    return final.parent / f".{final.name}.{owner}{STAGING_SUFFIX}"


def intact(directory: Path) -> dict[str, Any] | None:
    """The manifest of a complete directory; None if it, or a file that it names, is not whole.

    Sizes are compared, digests are not: that would read everything. What `verify` has found to be
    damaged is not whole either.
    """
    if (directory / DAMAGE).exists():
        return None
    try:
        manifest = read_manifest(directory)
        whole = all(
            (directory / name).stat().st_size == about["bytes"]
            for name, about in manifest["files"].items()
        )
    except (OSError, NormexpError, KeyError, TypeError, AttributeError):
        return None
    return manifest if whole else None


def remove_abandoned(directory: Path) -> None:
    """Delete what processes of this machine left half-written when they were killed."""
    for partial in directory.glob(f".*{STAGING_SUFFIX}"):
        owner = OWNER.search(partial.name)
        if owner is None or owner["machine"] != machine() or lives(int(owner["process"])):
            continue
        if partial.is_dir():
            shutil.rmtree(partial, ignore_errors=True)
        else:
            partial.unlink(missing_ok=True)


def read_manifest(directory: Path) -> dict[str, Any]:
    """The manifest of a complete directory.

    Raises:
        NormexpError: it cannot be read, as after a power cut.
    """
    try:
        manifest: dict[str, Any] = json.loads((directory / MANIFEST).read_bytes())
    except (OSError, ValueError) as error:
        raise NormexpError(
            f"the manifest in {directory} cannot be read ({type(error).__name__})",
            f"remove {directory} and sweep again: only what is missing is made again",
        ) from error
    return manifest


def to_json(content: object) -> bytes:
    """JSON for people and machines: indented, and null for what is not a finite number."""
    text = json.dumps(finite(content), indent=1, ensure_ascii=False, allow_nan=False)
    return f"{text}\n".encode()


def finite(content: Any) -> Any:  # noqa: ANN401
    """The same with None for nan and infinities, which JSON does not know."""
    if isinstance(content, float):
        return content if math.isfinite(content) else None
    if isinstance(content, Mapping):
        return {key: finite(value) for key, value in content.items()}
    return [finite(value) for value in content] if isinstance(content, list | tuple) else content


def config_yaml(tree: Mapping[str, Any]) -> bytes:
    """A nested configuration as YAML; sections are cached, since runs share most of theirs."""
    parts = []
    for name, value in tree.items():
        items = tuple(value.items()) if isinstance(value, Mapping) else value
        parts.append(_section_yaml(name, items))
    return b"".join(parts)


class _Dumper(yaml.CSafeDumper):
    """Quotes texts that YAML 1.2, and so Hydra, reads as numbers: a digest such as 12e4567890ab."""


_Dumper.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\d[\d_]*\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


def to_yaml(content: object) -> bytes:
    """YAML in the order given."""
    text = yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    return str(text).encode()


def list_yaml(items: Iterable[str], indent: int = 0) -> bytes:
    """A list of texts as YAML; items are cached, since runs share most of theirs."""
    return b"".join(b" " * indent + _item_yaml(item) for item in items)


@lru_cache(maxsize=16384)
def _item_yaml(item: str) -> bytes:
    return to_yaml([item])


@lru_cache(maxsize=16384, typed=True)
def _section_yaml(name: str, items: tuple[tuple[str, Scalar], ...] | Scalar) -> bytes:
    return to_yaml({name: dict(items) if isinstance(items, tuple) else items})

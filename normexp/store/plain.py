"""Plain files that anybody may have put there: regular ones, JSON and YAML, so much and no more.

All that normexp reads of a store is opened here, large Parquet files and weights apart. Functions
raise OSError where a file is missing, too large or something else than a file, and ValueError where
its content is not what it should be. What is written is the same for equal content.
"""

import errno
import hashlib
import os
import re
import stat
from collections.abc import Mapping
from functools import lru_cache
from io import FileIO
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml

from normexp.config.field import Scalar
from normexp.config.schema import EXPORT, INSIDE, PLACES, SOURCE
from normexp.config.tree import flatten_section, nest

T = TypeVar("T")

FLAGS = os.O_RDONLY | sum(
    getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY", "O_CLOEXEC")
)
"""To open what may be a link or a pipe; not every platform has all of them."""

MOST_BYTES = 2**24
"""The largest text that is read; a sweep's manifest names all of its failed runs."""

MOST_IN_MEMORY = 2**26
"""The largest file that is read whole; a larger one is digested piece by piece."""

MOST_DEPTH = 4
"""Of a YAML document that is read."""

LOST = (
    errno.ENOENT, errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.ENXIO, errno.EINVAL, errno.EFBIG,
    None,
)  # fmt: skip
"""Errors that say something of a file; others say that it could not be looked at."""


def open_regular(path: str | Path) -> FileIO:
    """Open a regular file: no link is followed, no pipe waited for."""
    file = os.open(path, FLAGS)
    kind = stat.S_IFMT(os.fstat(file).st_mode)
    if kind != stat.S_IFREG:
        os.close(file)
        what = {stat.S_IFDIR: "a directory", stat.S_IFIFO: "a pipe"}.get(kind, "a device or socket")
        raise OSError(errno.EINVAL, f"it is {what}, not a file", str(path))
    return FileIO(file)  # without a buffer: files are read whole


def read_regular(path: str | Path, most: int = MOST_BYTES) -> bytes:
    """Return the content of a regular file of at most so many bytes."""
    with open_regular(path) as file:
        if os.fstat(file.fileno()).st_size > most:
            raise OSError(errno.EFBIG, "too large", str(path))
        return file.read()


def verified(path: str | Path, about: Mapping[str, Any]) -> bytes | None:
    """Return a file's content if it is what the manifest says; None if too large for memory."""
    content = None
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size != about["bytes"]:
            raise ValueError(f"it has {size:,} bytes, its manifest says {about['bytes']:,}")
        if size <= MOST_IN_MEMORY:
            content = file.read()
            digest = hashlib.sha256(content).hexdigest()
        else:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != about["sha256"]:
        raise ValueError("it is not what was written (SHA-256 differs)")
    return content


def check_files(
    directory: Path, files: Mapping[str, Any]
) -> tuple[dict[str, str], dict[str, bytes | None]]:
    """Return what is wrong with files that a manifest names, and the contents of the right ones.

    A file too large for memory has None for its content.

    Raises:
        OSError: a file could not be looked at, as without the right to, which says nothing of it.
    """
    wrong, contents = {}, {}
    for name, about in files.items():
        try:
            if (directory / name).parent.is_symlink():
                raise ValueError("it is behind a link")  # noqa: TRY301
            contents[name] = verified(directory / name, about)
        except (OSError, ValueError) as error:
            if isinstance(error, OSError) and error.errno not in LOST:
                raise
            wrong[name] = reason(error)
    return wrong, contents


def reason(error: BaseException) -> str:
    """Return in a few words why something cannot be read."""
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error) if type(error) is ValueError else type(error).__name__
    words = {
        errno.ELOOP: "it is a link, not a file",
        errno.ENOENT: "it is missing",
        errno.ENXIO: "it is a device or socket, not a file",
    }
    return words.get(error.errno or 0, error.strerror[:1].lower() + error.strerror[1:])


def to_json(content: object) -> bytes:
    """Return indented JSON, with null for what is not a finite number."""
    packed = msgspec.json.encode(content, enc_hook=float)  # NumPy's are no floats to it
    return msgspec.json.format(packed, indent=1) + b"\n"


def from_json(content: bytes, kind: type[T]) -> T:
    """Return JSON as a value of a type.

    Raises:
        ValueError: it is none, or of another type.
    """
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError("not JSON") from error
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


class _Dumper(yaml.CSafeDumper):
    """Quotes texts that YAML 1.2, and so Hydra, reads as numbers: a digest such as 12e4567890ab."""


_Dumper.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\d[\d_]*\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


def to_yaml(content: object) -> bytes:
    """Return YAML in the order given."""
    text = yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    return str(text).encode()


def config_yaml(tree: Mapping[str, Any]) -> bytes:
    """Return a nested configuration as YAML; sections are cached, since runs share most."""
    return b"".join(
        _section_yaml(name, tuple(value.items()) if isinstance(value, Mapping) else value)
        for name, value in tree.items()
    )


@lru_cache(maxsize=16384, typed=True)
def _section_yaml(name: str, items: tuple[tuple[str, Scalar], ...] | Scalar) -> bytes:
    return to_yaml({name: dict(items) if isinstance(items, tuple) else items})


@lru_cache(maxsize=16384)
def kept(name: str, section: Any) -> tuple[dict[str, Any], bytes]:  # noqa: ANN401
    """Return what a run keeps of a section or of its seed, by dotted names and as YAML."""
    flat = flatten_section(name, section) if name in INSIDE else {name: section}
    flat = {path: value for path, value in flat.items() if path not in (*PLACES, SOURCE, EXPORT)}
    return flat, config_yaml(nest(flat))


@lru_cache(maxsize=16384)
def item_yaml(item: str) -> bytes:
    """Return a text as an item of a YAML list; cached, since runs share most of theirs."""
    return to_yaml([item])


def from_yaml(content: bytes) -> dict[str, Any]:
    """Return a mapping in plain YAML: shallow, without aliases, tags or objects.

    It is read a section at a time; these are cached, since trajectories share most of theirs.

    Raises:
        ValueError: it is something else.
    """
    if len(content) > MOST_BYTES:
        raise ValueError("too large")
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise ValueError("not UTF-8") from error
    tree: dict[str, Any] = {}
    for section in re.split(r"(?m)^(?=\w)", text):
        if section:
            tree |= _section(section)
    return tree


@lru_cache(maxsize=4096)
def _section(text: str) -> dict[str, Any]:
    try:
        _refuse_unbounded(text)
        content = yaml.CSafeLoader(text).get_single_data()
    except (
        yaml.YAMLError,
        ArithmeticError,
        AttributeError,
        LookupError,
        TypeError,
        ValueError,
        RecursionError,
    ) as error:  # as PyYAML's constructors raise, on a month 13 for example
        raise ValueError("not plain YAML") from error  # fmt: skip
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise ValueError("not plain YAML")
    return content


def _refuse_unbounded(text: str) -> None:
    """Refuse what could grow without end or make objects, before anything is built."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        anchor, tag = getattr(event, "anchor", None), getattr(event, "tag", None)
        if anchor is not None or tag is not None or depth > MOST_DEPTH:
            raise ValueError("an alias, a tag, or too deep")

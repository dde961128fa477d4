"""What a manifest must say, and of which type: it may come from a stranger."""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from math import isfinite
from types import NoneType
from typing import Any

from normexp.config.field import LARGEST, specs
from normexp.config.schema import IDENTITY_GROUPS, KINDS, SECTIONS, RunConfig
from normexp.store.columns import RUN_TABLES, TRAJECTORY_TABLES

MOST_BYTES = 2**24
"""Of a manifest; a sweep's names all of its failed runs."""

MOST_DEPTH = 8
FEW_BRACKETS = 64
"""A document of no more brackets than that is not deep; texts may hold brackets too."""

Types = frozenset[type]

TEXT, WHOLE, LIST, SECTION = (frozenset({kind}) for kind in (str, int, list, dict))
NUMBER = frozenset({int, float})
NOTHING = frozenset({NoneType})
SCALAR = NUMBER | TEXT | NOTHING | {bool}
PARTS = {"kind": TEXT, "schema": WHOLE, "created": TEXT, "environment": SECTION, "files": SECTION,
         "trajectory_id": TEXT, "diverged_step": WHOLE | NOTHING, "seconds": SECTION}  # fmt: skip
FIELDS: dict[str, dict[str, Types]] = {
    "run": PARTS
    | {"run_id": TEXT, "study": TEXT, "label": TEXT, "half_life_steps": NUMBER | NOTHING,
       "log_every": WHOLE, "command": TEXT, "status": TEXT, "config": SECTION,
       "metrics": SECTION},
    "trajectory": PARTS,
    "sweep": {"kind": TEXT, "study": TEXT, "status": TEXT, "runs": WHOLE, "trained": WHOLE,
              "failed": LIST, "errors": LIST, "warnings": LIST, "seconds": NUMBER},
}  # fmt: skip
"""What the manifest of each kind of directory must say."""

STATUSES = {"run": ("complete", "diverged"), "sweep": ("complete", "failed", "interrupted")}

METRICS = "metrics.parquet"
"""The table of a run whose last row its manifest repeats."""

HYDRA = (".hydra/config.yaml", ".hydra/overrides.yaml", ".hydra/hydra.yaml")
WEIGHTS = "weights.safetensors"
OPTIONAL_FILES = frozenset(("histograms.parquet", "curves.parquet"))
"""Files that older runs may have and that nothing reads."""

FILES = {
    "run": frozenset((*HYDRA, *(f"{table}.parquet" for table in RUN_TABLES))),
    "trajectory": frozenset(
        ("config.yaml", WEIGHTS, *(f"{table}.parquet" for table in TRAJECTORY_TABLES))
    ),
    "sweep": frozenset(("sweep.yaml", "environment.json", "summary.parquet")),
}
"""The files of each kind of directory."""

ID = re.compile(r"[0-9a-f]{12}")
SHOWN = frozenset(("step", "epoch", "test_loss", "excess_loss"))
"""Of the last evaluation point: what every listing shows."""


def parse(raw: bytes) -> dict[str, Any]:
    """A manifest of any kind, its types as they must be.

    Raises:
        ValueError: it is something else; the message says what, in a few words.
    """
    manifest = parse_json(raw)
    kind = manifest.get("kind")
    if not isinstance(kind, str) or kind not in FIELDS:
        raise ValueError("no kind of directory that normexp knows")
    for name, types in FIELDS[kind].items():
        if name not in manifest:
            raise ValueError(f"{name!r} is missing")
        if type(manifest[name]) not in types:
            raise ValueError(f"{name!r} is of the wrong type")
    if kind in STATUSES and manifest["status"] not in STATUSES[kind]:
        raise ValueError("unknown 'status'")
    if kind == "sweep":
        _check_texts(manifest, ("failed", "errors", "warnings"))
        if "files" in manifest:  # not of sweeps before it was there
            _check_files(manifest["files"], kind)
    else:
        _check_parts(manifest, kind)
    return manifest


def parse_json(raw: bytes) -> dict[str, Any]:
    """Return a JSON object; see `parse_value`.

    Raises:
        ValueError: it is something else.
    """
    content = parse_value(raw)
    if not isinstance(content, dict):
        raise ValueError("no JSON object")  # noqa: TRY004  of the file, not of an argument
    return content


def parse_value(raw: bytes) -> Any:  # noqa: ANN401  whatever JSON may have
    """Return JSON with finite numbers that a table's column can hold, and not deep.

    Raises:
        ValueError: it is something else.
    """
    try:
        content = DECODER.decode(raw.decode())
    except json.JSONDecodeError as error:
        raise ValueError("not JSON") from error
    except UnicodeDecodeError as error:
        raise ValueError("not UTF-8") from error
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if raw.count(b"{") + raw.count(b"[") > FEW_BRACKETS:
        _check_depth(content)
    if b"\\u" in raw:
        _check_text(content)
    return content


def _check_parts(manifest: Mapping[str, Any], kind: str) -> None:
    """The sections of a run's or trajectory's manifest."""
    names = ("trajectory_id", "run_id") if kind == "run" else ("trajectory_id",)
    if not all(ID.fullmatch(manifest[name]) for name in names):
        raise ValueError(f"{names[-1]!r} is no id")
    _check_seconds(manifest["seconds"])
    _check_files(manifest["files"], kind)
    if kind == "run":
        _check_config(manifest["config"])
        _check_metrics(manifest["metrics"])
        if manifest["log_every"] < 1:
            raise ValueError("'log_every' is below 1")
        if not manifest["command"].startswith("normexp sweep "):
            raise ValueError("'command' is no sweep")


def _check_seconds(seconds: Mapping[str, Any]) -> None:
    for name, types in (("stack", NUMBER), ("networks", WHOLE)):
        if type(seconds.get(name)) not in types:
            raise ValueError(f"'seconds' has no {name!r}")


def _check_files(files: object, kind: str) -> None:
    own = FILES[kind]
    if not isinstance(files, dict):
        raise ValueError("'files' is of the wrong type")  # noqa: TRY004
    if not own <= files.keys():
        raise ValueError(f"{min(own - files.keys())} is not among its 'files'")
    for name, about in files.items():
        if name not in own and (kind != "run" or name not in OPTIONAL_FILES):
            raise ValueError("'files' has a name that is no file of a " + kind)
        if type(about) is not dict or type(about.get("bytes")) is not int:
            raise ValueError(f"'files' does not say how large {name} is")
        if type(about.get("sha256")) is not str:
            raise ValueError(f"'files' has no digest of {name}")


def _check_config(config: Mapping[str, Any]) -> None:
    known = config_types()
    for path, value in config.items():
        if type(value) not in known.get(path, SCALAR):
            raise ValueError("'config' has a field of the wrong type")
    for group in IDENTITY_GROUPS:
        if f"{group}.kind" not in config:
            raise ValueError(f"'config' has no {group}.kind")


def _check_metrics(metrics: Mapping[str, Any]) -> None:
    allowed = NUMBER | NOTHING
    if not all(type(value) in allowed for value in metrics.values()):
        raise ValueError("'metrics' has something that is no number")
    if not metrics.keys() >= SHOWN:
        raise ValueError(f"'metrics' has no {min(SHOWN - metrics.keys())}")


def _check_texts(manifest: Mapping[str, Any], names: Iterable[str]) -> None:
    for name in names:
        if not all(isinstance(text, str) for text in manifest[name]):
            raise ValueError(f"{name!r} is no list of texts")


@cache
def config_types() -> dict[str, Types]:
    """The types that JSON may have for every dotted field of the schema."""
    found = {path: _types(spec) for path, spec in specs(RunConfig).items()}
    sections = [(name, cls) for name, kinds in KINDS.items() for cls in kinds.values()]
    for section, cls in [*sections, *SECTIONS.items()]:
        for name, spec in specs(cls).items():
            path = f"{section}.{name}"
            found[path] = found.get(path, frozenset()) | _types(spec)
    return found


def _types(spec: Any) -> Types:  # noqa: ANN401
    numbers = {int, float} if spec.type is float else {spec.type}
    return frozenset(numbers | ({NoneType} if spec.optional else set()))


def _check_depth(content: object) -> None:
    level = [content]
    for _ in range(MOST_DEPTH):
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return
    raise ValueError("nested too deeply")


def _inside(outer: object) -> Iterable[object]:
    if isinstance(outer, dict):
        return outer.values()
    return outer if isinstance(outer, list) else ()


def _check_text(content: object) -> None:
    """Half of a surrogate pair can be escaped in JSON, and neither printed nor stored."""
    try:
        json.dumps(content, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise ValueError("a text that is no Unicode") from error


def _whole(text: str) -> int:
    if len(text) > len(str(LARGEST)) or abs(int(text)) > LARGEST:
        raise ValueError("a number too large")
    return int(text)


def _real(text: str) -> float:
    value = float(text)
    if not isfinite(value):
        raise ValueError("a number too large")
    return value


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


_CONSTANT: Callable[[str], float] = _refuse
DECODER = json.JSONDecoder(parse_int=_whole, parse_float=_real, parse_constant=_CONSTANT)
"""Knows no NaN and no number that a column cannot hold."""

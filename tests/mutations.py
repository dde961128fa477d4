"""Ways to spoil a store, at random and reproducibly: what `fuzz.py` throws at the readers."""

import hashlib
import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

MANIFEST = "manifest.json"
Spoil = Callable[[Path, random.Random], object]

WEIRD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 10**40, 1.5, -0.0, 1e308, float("nan"), float("inf"),
    "", "x", "../../../etc/passwd", "/dev/zero", "\x1b[2J\x1b]0;owned\x07", "\ud800", "\u202eabc",
    "a\nerror: b", "x" * 70_000, "\x00", [], {}, [[]], [None], {"": None}, {"kind": "run"}, "null",
    "1e999", "normexp sweep x; rm -rf ~", [1, "a", {"b": []}], "run", "trajectory", "sweep",
)  # fmt: skip
"""Values where they should not be."""

YAML = (
    b"a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: [*b,*b,*b,*b,*b,*b,*b,*b]\n",
    b"[" * 20_000, b"- " * 20_000 + b"\n", b"? " * 20_000, b"\xff\xfe", b"{a: b", b"\t",
    b"!!python/object/apply:os.system [id]\n", b"data: !!timestamp x\n", b"seed: !!int x\n",
    b"data:\n  kind: 2001-13-45\n", b"seed: 2001-01-01T00:00:00+99:99\n", b"1: 2\n", b"null: 1\n",
    b"data: 3\n", b"data: [1]\n", b"data:\n  kind: arrays\n", b"seed: " + b"9" * 5000,
    b"seed: .inf\n", b"seed: 0o9\n", b"? [a, b]\n: c\n", b"%YAML 9.9\n---\n", b"--- a\n--- b\n",
    b"a: 190:20:30\n", b"<<: 1\n", b"<<: [{a: 1}]\n",
)  # fmt: skip
"""Documents that have hurt readers of YAML."""


def fix(path: Path) -> None:
    """Put the digest of a spoilt file into its manifest, so that its reader is reached."""
    home = path.parent.parent if path.parent.name == ".hydra" else path.parent
    manifest = json.loads((home / MANIFEST).read_bytes())
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    about = {"sha256": digest, "bytes": path.stat().st_size}
    manifest.get("files", {})[str(path.relative_to(home))] = about
    manifest.pop("sha256", None)
    (home / MANIFEST).write_text(json.dumps(manifest))


def _flip(path: Path, rng: random.Random, places: slice = slice(None)) -> None:
    """Flip some bits, anywhere or in one part."""
    content = bytearray(path.read_bytes())
    part = range(len(content))[places]
    for _ in range(rng.choice((1, 1, 3, 30))):
        content[rng.choice(part)] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def _truncate(path: Path, rng: random.Random) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: rng.randrange(len(content))])


def _insert(path: Path, rng: random.Random) -> None:
    content, at = path.read_bytes(), rng.randrange(path.stat().st_size + 1)
    path.write_bytes(content[:at] + rng.randbytes(rng.choice((1, 4, 300))) + content[at:])


def _swap(path: Path, rng: random.Random) -> None:
    """Put another file of the study in its place."""
    others = [each for each in path.parents[1].rglob("*.*") if each.is_file() and each != path]
    path.write_bytes(rng.choice(others).read_bytes())


BYTES: dict[str, Spoil] = {
    "flip": _flip,
    "flip the end": lambda path, rng: _flip(path, rng, slice(-1200, None)),  # Parquet's footer
    "flip the start": lambda path, rng: _flip(path, rng, slice(600)),  # the header of safetensors
    "truncate": _truncate,
    "insert": _insert,
    "swap": _swap,
    "empty": lambda path, _: path.write_bytes(b""),
    "rubbish": lambda path, rng: path.write_bytes(rng.randbytes(path.stat().st_size)),
}
"""Leave a regular file of other content."""


def _link(path: Path, rng: random.Random) -> None:
    """Put a link there: to its own content elsewhere, a device, a directory, nothing, itself."""
    away = path.with_name("elsewhere.bin")
    targets = [str(away), "/dev/zero", "/dev/stdin", "/", "nowhere", path.name, "/etc/passwd"]
    target = rng.choice(targets)
    path.replace(away)
    path.symlink_to(target)


def _replace(path: Path, make: Callable[[Path], None]) -> None:
    path.unlink()
    make(path)


def grow(path: Path, size: int) -> None:
    """Put nothing behind it, up to a size; 2²⁷ bytes take no second to digest."""
    with path.open("r+b") as file:
        file.truncate(size)


def _rename(path: Path, rng: random.Random) -> None:
    """Give its directory another name."""
    names = ("x", "run-zzzzzzzzzzzz", "a-000000000000", "\x1b[31m-0123456789ab",
             "a\nb-0123456789ab", ".hidden", "é-0123456789ab", "\udcff-0123456789ab")  # fmt: skip
    path.parent.rename(path.parent.with_name(rng.choice(names)))


def _stray(path: Path, rng: random.Random) -> None:
    """Put something beside it."""
    names = ("notes.txt", "\x1b[31m", ".claim", "damage.json", "a\nb", "\udcff")
    place = path.with_name(rng.choice(names))
    if rng.random() < 0.5:
        place.write_bytes(b"x")
    else:
        place.symlink_to("/dev/zero")


def _whole_link(path: Path, _: random.Random) -> None:
    """Make its directory a link to itself elsewhere."""
    away = path.parents[2] / ".away"
    shutil.move(path.parent, away)
    path.parent.symlink_to(away)


HARMLESS: dict[str, Spoil] = {"rename": _rename, "stray": _stray}
"""Leave every file as its manifest says."""

PLACES: dict[str, Spoil] = HARMLESS | {
    "remove": lambda path, _: path.unlink(),
    "link": _link,
    "pipe": lambda path, _: _replace(path, os.mkfifo),
    "folder": lambda path, _: _replace(path, Path.mkdir),
    "sparse": lambda path, _: grow(path, 2**31),
    "link of the whole": _whole_link,
}
"""Change what kind of thing stands there."""


def spoil_json(path: Path, rng: random.Random) -> None:
    """Put something else somewhere in it."""
    content = json.loads(path.read_bytes())
    content.pop("sha256", None)
    for _ in range(rng.choice((1, 1, 2))):
        nodes = list(_nodes(content)) or [({"x": 0}, "x")]
        parent, key = rng.choice(nodes)
        what = rng.randrange(6)
        if what == 0:
            del parent[key]
        elif what == 1 and isinstance(parent, dict):
            parent[str(rng.choice(WEIRD))] = parent.pop(key)
        elif what == 2:
            other, name = rng.choice(nodes)
            parent[key] = json.loads(json.dumps(other[name]))
        else:
            parent[key] = rng.choice(WEIRD)
        content = json.loads(json.dumps(content))
    path.write_text(json.dumps(content))


def _nodes(content: Any) -> Iterator[tuple[Any, Any]]:  # noqa: ANN401
    """Yield every (collection, key) of a JSON document."""
    items = content.items() if isinstance(content, dict) else enumerate(content)
    for key, value in list(items):
        yield content, key
        if isinstance(value, dict | list):
            yield from _nodes(value)


def raw_json(path: Path, rng: random.Random) -> None:
    """Write JSON that is no object, or too deep, or too long."""
    text = path.read_text()
    deep = "[" * 100_000 + "]" * 100_000
    path.write_bytes(
        rng.choice((
            b"[]", b"null", b"1", b'"x"', b"{}", b"\xff\xfe{}", deep.encode(), b"[" * 200_000,
            text.replace("{", '{"x": ' + "[" * 900 + "]" * 900 + ",", 1).encode(),
            text.replace('"files": {', '"files": {"../../x": {"sha256": "", "bytes": 0},').encode(),
            text.replace(": 0", ": " + "9" * 5000).encode(), text.encode("utf-16"),
            text.replace(".5", "e999").encode(), (text + text).encode(), text.encode() + b"\0",
            b'{"kind": "run"}', b'{"kind": "sweep"}', b'{"kind": ["run"]}', b'{"kind": {}}',
        ))
    )  # fmt: skip


def spoil_yaml(path: Path, rng: random.Random) -> None:
    """Write YAML that has hurt others, alone or below what is there."""
    path.write_bytes(rng.choice((b"", path.read_bytes())) + rng.choice(YAML))


def edit_yaml(path: Path, rng: random.Random) -> None:
    """Change a line of it."""
    lines = path.read_text().splitlines()
    at = rng.randrange(len(lines))
    values = ("null", "-1", "1e9", "9" * 30, "[]", "{}", "''", "x", "true", "4611686018427387904")
    assigned = f"{lines[at].partition(':')[0]}: {rng.choice(values)}"
    lines[at] = rng.choice((assigned, "", f"{lines[at]} x", f"  {lines[at]}"))
    path.write_text("\n".join(lines) + "\n")


def spoil_table(path: Path, rng: random.Random) -> None:
    """Write another table, well-formed."""
    table = pq.ParquetFile(path).read()
    rows, names = table.num_rows, table.column_names
    number = rng.randrange(max(1, table.num_columns))
    bytes_of_none = pa.DictionaryArray.from_arrays(pa.array([0] * 9), pa.array([b"\xff"]))
    make: Callable[[], pa.Table] = rng.choice(
        (
            lambda: table.remove_column(number),
            lambda: table.slice(0, rng.randrange(rows + 1)),
            lambda: table.rename_columns([f"\x1b[31m{name}" for name in names]),
            lambda: table.append_column("extra", pa.array([[{"a": [1]}]] * rows)),
            lambda: table.set_column(number, names[number], pa.nulls(rows)),
            lambda: table.set_column(number, names[number], pa.array(["\x1b[2J"] * rows)),
            lambda: pa.concat_tables([table, table]),
            lambda: table.append_column(names[0], table.column(0)),
            lambda: pa.table({"step": bytes_of_none}),
        )
    )
    pq.write_table(make(), path)


def bomb_table(path: Path, _: random.Random) -> None:
    """Write fifty million rows in a few bytes."""
    names = pq.ParquetFile(path).read().column_names[:3]
    zeros = pa.array([0] * 1000, pa.int8())
    column = pa.chunked_array([zeros] * 50_000)
    pq.write_table(pa.table(dict.fromkeys(names, column)), path, row_group_size=10**8)


def spoil_weights(path: Path, rng: random.Random) -> None:
    """Write a header of safetensors that says something else."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    name = rng.choice(sorted(header))
    what = rng.choice((
        "shape", "data_offsets", "dtype", "remove", "rename", "metadata", "deep", "size"
    ))  # fmt: skip
    values: dict[str, tuple[Any, ...]] = {
        "shape": ([], [-1], [2**62, 4], ["x"], None, [0]),
        "data_offsets": ([0, 2**62], [5, 1], [], None, [-1, 4]),
        "dtype": ("F64", "I8", "X", None, "BOOL"),
    }
    if what in values:
        header[name][what] = rng.choice(values[what])
    elif what == "remove":
        del header[name]
    elif what == "rename":
        header["\x1b[31m"] = header.pop(name)
    elif what == "metadata":
        header["__metadata__"] = rng.choice(({"a": "b"}, 1, [], {"a": {}}))
    text = b"[" * 50_000 if what == "deep" else json.dumps(header).encode()
    size = 2**60 if what == "size" else len(text)
    path.write_bytes(size.to_bytes(8, "little") + text + content[8 + length :])

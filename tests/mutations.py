"""Ways to spoil a store, at random and reproducibly: what `fuzz.py` throws at the readers."""

import hashlib
import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

MANIFEST = "manifest.json"
Spoil = Callable[[Path, random.Random], None]

WEIRD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 10**40, 1.5, -0.0, 1e308, float("nan"), float("inf"),
    "", "x", "../../../etc/passwd", "/dev/zero", "\x1b[2J\x1b]0;owned\x07", "\ud800", "\u202eabc",
    "a\nerror: b", "x" * 70_000, "\x00", [], {}, [[]], [None], {"": None}, {"kind": "run"}, "null",
    "1e999", "normexp sweep x; rm -rf ~", [1, "a", {"b": []}], "run", "trajectory", "sweep",
)  # fmt: skip
"""What stands where it should not."""

YAML = (
    b"a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: [*b,*b,*b,*b,*b,*b,*b,*b]\n",
    b"[" * 20_000,
    b"- " * 20_000 + b"\n",
    b"? " * 20_000,
    b"!!python/object/apply:os.system [id]\n",
    b"data: !!timestamp x\n",
    b"data:\n  kind: 2001-13-45\n",
    b"seed: 2001-01-01T00:00:00+99:99\n",
    b"1: 2\n",
    b"null: 1\n",
    b"data: 3\n",
    b"data: [1]\n",
    b"\xff\xfe",
    b"{a: b",
    b"seed: " + b"9" * 5000,
    b"data:\n  kind: arrays\n",
    b"? [a, b]\n: c\n",
    b"%YAML 9.9\n---\n",
    b"--- a\n--- b\n",
    b"\t",
    b"seed: !!int x\n",
    b"seed: .inf\n",
    b"seed: 0o9\n",
    b"a: 190:20:30\n",
    b"<<: 1\n",
    b"<<: [{a: 1}]\n",
)
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


def flip(path: Path, rng: random.Random) -> None:
    """Some bits of it."""
    content = bytearray(path.read_bytes())
    for _ in range(rng.choice((1, 1, 3, 30))):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def flip_end(path: Path, rng: random.Random) -> None:
    """Bits of its end, where Parquet keeps what it says of itself."""
    content = bytearray(path.read_bytes())
    for _ in range(rng.choice((1, 2, 5))):
        content[-1 - rng.randrange(min(len(content), 1200))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def flip_start(path: Path, rng: random.Random) -> None:
    """Bits of its beginning, where safetensors do."""
    content = bytearray(path.read_bytes())
    for _ in range(rng.choice((1, 2, 5))):
        content[rng.randrange(min(len(content), 600))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def truncate(path: Path, rng: random.Random) -> None:
    """It ends early."""
    content = path.read_bytes()
    path.write_bytes(content[: rng.randrange(len(content))])


def insert(path: Path, rng: random.Random) -> None:
    """Rubbish in between."""
    content, at = path.read_bytes(), rng.randrange(path.stat().st_size + 1)
    path.write_bytes(content[:at] + rng.randbytes(rng.choice((1, 4, 300))) + content[at:])


def swap(path: Path, rng: random.Random) -> None:
    """Another file of the study in its place."""
    others = [each for each in path.parents[1].rglob("*.*") if each.is_file() and each != path]
    path.write_bytes(rng.choice(others).read_bytes())


def empty(path: Path, _: random.Random) -> None:
    """Nothing in it."""
    path.write_bytes(b"")


def rubbish(path: Path, rng: random.Random) -> None:
    """Noise of the same size."""
    path.write_bytes(rng.randbytes(path.stat().st_size))


def remove(path: Path, _: random.Random) -> None:
    """It is gone."""
    path.unlink()


def link(path: Path, rng: random.Random) -> None:
    """A link: to its own content elsewhere, a device, a directory, nothing, itself."""
    away = path.with_name("elsewhere.bin")
    targets = [str(away), "/dev/zero", "/dev/stdin", "/", "nowhere", path.name, "/etc/passwd"]
    target = rng.choice(targets)
    path.replace(away)
    path.symlink_to(target)


def pipe(path: Path, _: random.Random) -> None:
    """A pipe that nobody writes to."""
    path.unlink()
    os.mkfifo(path)


def folder(path: Path, _: random.Random) -> None:
    """A directory of that name."""
    path.unlink()
    path.mkdir()


def sparse(path: Path, _: random.Random) -> None:
    """Two gigabytes of nothing behind it."""
    with path.open("r+b") as file:
        file.truncate(2**31)


def sparse_end(path: Path, _: random.Random) -> None:
    """As much of it as takes no second to digest, yet more than is read at once."""
    with path.open("r+b") as file:
        file.truncate(2**27)


def spoil_json(path: Path, rng: random.Random) -> None:
    """Something else somewhere in it."""
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


def raw_json(path: Path, rng: random.Random) -> None:
    """JSON that is no object, or too deep, or too long."""
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
    """YAML that has hurt others, alone or below what is there."""
    path.write_bytes(rng.choice((b"", path.read_bytes())) + rng.choice(YAML))


def edit_yaml(path: Path, rng: random.Random) -> None:
    """A line of it changed."""
    lines = path.read_text().splitlines()
    at = rng.randrange(len(lines))
    value = rng.choice(
        ("null", "-1", "1e9", "9" * 30, "[]", "{}", "''", "x", "true", "4611686018427387904")
    )
    lines[at] = rng.choice(
        (lines[at].partition(":")[0] + ": " + value, "", lines[at] + " x", "  " + lines[at])
    )
    path.write_text("\n".join(lines) + "\n")


def spoil_table(path: Path, rng: random.Random) -> None:
    """Another table, well-formed."""
    table = pq.ParquetFile(path).read()
    number = rng.randrange(max(1, table.num_columns))
    what = rng.randrange(9)
    if what == 0:
        table = table.remove_column(number)
    elif what == 1:
        table = table.slice(0, rng.randrange(table.num_rows + 1))
    elif what == 2:
        table = table.rename_columns([f"\x1b[31m{name}" for name in table.column_names])
    elif what == 3:
        table = table.append_column("extra", pa.array([[{"a": [1]}]] * table.num_rows))
    elif what == 4:
        table = table.set_column(number, table.column_names[number], pa.nulls(table.num_rows))
    elif what == 5:
        texts = pa.array(["\x1b[2J"] * table.num_rows)
        table = table.set_column(number, table.column_names[number], texts)
    elif what == 6:
        table = pa.concat_tables([table, table])
    elif what == 7:
        table = table.append_column(table.column_names[0], table.column(0))
    else:
        table = pa.table(
            {"step": pa.DictionaryArray.from_arrays(pa.array([0] * 9), pa.array([b"\xff"]))}
        )
    pq.write_table(table, path)


def bomb_table(path: Path, _: random.Random) -> None:
    """Fifty million rows in a few bytes."""
    names = pq.ParquetFile(path).read().column_names[:3]
    zeros = pa.array([0] * 1000, pa.int8())
    column = pa.chunked_array([zeros] * 50_000)
    pq.write_table(pa.table(dict.fromkeys(names, column)), path, row_group_size=10**8)


def spoil_weights(path: Path, rng: random.Random) -> None:
    """A header of safetensors that says something else."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    name = rng.choice(sorted(header))
    what = rng.randrange(8)
    if what == 0:
        header[name]["shape"] = rng.choice(([], [-1], [2**62, 4], ["x"], None, [0]))
    elif what == 1:
        header[name]["data_offsets"] = rng.choice(([0, 2**62], [5, 1], [], None, [-1, 4]))
    elif what == 2:
        header[name]["dtype"] = rng.choice(("F64", "I8", "X", None, "BOOL"))
    elif what == 3:
        del header[name]
    elif what == 4:
        header["\x1b[31m"] = header.pop(name)
    elif what == 5:
        header["__metadata__"] = rng.choice(({"a": "b"}, 1, [], {"a": {}}))
    text = b"[" * 50_000 if what == 6 else json.dumps(header).encode()
    size = 2**60 if what == 7 else len(text)
    path.write_bytes(size.to_bytes(8, "little") + text + content[8 + length :])


def rename(path: Path, rng: random.Random) -> None:
    """The directory has another name."""
    names = ("x", "run-zzzzzzzzzzzz", "a-000000000000", "\x1b[31m-0123456789ab",
             "a\nb-0123456789ab", ".hidden", "é-0123456789ab", "\udcff-0123456789ab")  # fmt: skip
    path.parent.rename(path.parent.with_name(rng.choice(names)))


def stray(path: Path, rng: random.Random) -> None:
    """Something beside it."""
    place = path.with_name(
        rng.choice(("notes.txt", "\x1b[31m", ".claim", "damage.json", "a\nb", "\udcff"))
    )
    if rng.random() < 0.5:
        place.write_bytes(b"x")
    else:
        place.symlink_to("/dev/zero")


def whole_link(path: Path, _: random.Random) -> None:
    """The directory is a link to itself elsewhere."""
    away = path.parents[2] / ".away"
    shutil.move(path.parent, away)
    path.parent.symlink_to(away)


def _nodes(content: Any) -> Any:  # noqa: ANN401
    """Every (collection, key) of a JSON document."""
    items = content.items() if isinstance(content, dict) else enumerate(content)
    for key, value in list(items):
        yield content, key
        if isinstance(value, dict | list):
            yield from _nodes(value)


BYTES = (flip, flip_end, flip_start, truncate, insert, swap, empty, rubbish)
"""Leave a regular file of other content."""

PLACES = (remove, link, pipe, folder, sparse, rename, stray, whole_link)
"""Change what stands there."""

"""What holds for every input, searched by Hypothesis: the store's bytes."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import TEXTS, examples

from normexp.store import parquet
from normexp.store.files import write_directory
from normexp.store.manifest import FILES, intact, read_manifest
from normexp.store.plain import to_json


def bits(array: Any) -> Any:  # noqa: ANN401
    """Numbers as their bits, so that −0 is not 0; every not-a-number as one of them."""
    plain = np.where(np.isnan(array), np.asarray(np.nan, array.dtype), array)
    return plain.view(f"u{array.dtype.itemsize}").tolist()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@examples(60)
@given(st.data())
def test_a_table_holds_the_bits_that_were_written(dtype: str, data: st.DataObject) -> None:
    """Infinities, denormals, both zeros, not-a-number (its payload aside), in both dtypes."""
    floats = st.floats(width=32 if dtype == "float32" else 64)
    steps = data.draw(st.lists(st.integers(0, 2**31 - 1), max_size=20))
    column = st.lists(floats, min_size=len(steps), max_size=len(steps))
    numbers = {"train_loss": np.array(data.draw(column), dtype)}
    whole = {name: np.array(steps, np.int32) for name in ("step", "epoch", "batch_size")}
    content = parquet.encode("steps", dtype, whole | numbers)
    Path("steps.parquet").write_bytes(content)
    table = parquet.read(Path("steps.parquet"), None)

    assert content == parquet.encode("steps", dtype, whole | numbers)
    assert {n: bits(table[n].to_numpy()) for n in numbers} == {n: bits(numbers[n]) for n in numbers}
    assert table["step"].to_pylist() == steps
    assert {str(table[name].type) for name in numbers} == {
        "float" if dtype == "float32" else "double"
    }


@pytest.mark.parametrize("rows", [0, 1, 7, 2**20 + 3])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_filled_form_is_what_pyarrow_writes(dtype: str, rows: int) -> None:
    """To the bit, not-a-number and lacking numbers included; more rows than a group has too."""
    layers = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), ["input"])
    keys = {"step": pa.array(range(rows), pa.int32()), "layer": layers}
    keys["channel"] = keys["step"]
    own = {"running_mean": np.arange(-1.0, rows - 1), "running_var": np.arange(rows) / 7}
    own["running_mean"][rows // 2 :] = np.nan
    own |= {"population_mean": own["running_var"] * 3, "population_var": own["running_mean"] + 1}
    there = {name: np.arange(rows) % 3 == 1 if name[0] == "p" else np.ones(rows, bool)
             for name in own}  # fmt: skip
    filled = parquet.Form("stats", dtype, keys, there).fill({n: own[n][there[n]] for n in own})
    kind = pa.float32() if dtype == "float32" else pa.float64()
    columns = {n: pa.array(own[n].astype(dtype), kind, mask=~there[n]) for n in own}

    assert filled == parquet.encode("stats", dtype, keys | columns)
    read = pq.read_table(pa.BufferReader(filled))
    for name in own:
        assert read[name].is_valid().to_numpy().tolist() == there[name].tolist()
        np.testing.assert_array_equal(read[name].drop_null(), columns[name].drop_null())


FINITE = st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | FINITE | TEXTS
JSON = SCALARS | st.lists(SCALARS, max_size=4) | st.dictionaries(TEXTS, SCALARS, max_size=4)
TRAJECTORY = {"kind": "trajectory", "schema": 1, "created": "today", "diverged_step": None,
              "trajectory_id": "0123456789ab",
              "seconds": {"stack": 1.0, "networks": 1}}  # fmt: skip


@examples(60)
@given(
    st.fixed_dictionaries(dict.fromkeys(sorted(FILES["trajectory"]), st.binary(max_size=40))),
    st.dictionaries(TEXTS, JSON, max_size=4),
    st.data(),
)
def test_a_directory_is_whole_until_a_file_is_cut_or_gone(
    tmp_path_factory: pytest.TempPathFactory,
    files: dict[str, bytes],
    environment: dict[str, Any],
    data: st.DataObject,
) -> None:
    """What was written is read back, manifest and files; longer, shorter or missing is noticed."""
    final = tmp_path_factory.mktemp("store") / "run"
    manifest = {**TRAJECTORY, "environment": environment}
    write_directory(final, files, manifest)
    read = read_manifest(final)
    digests = read["files"]

    assert read == {**manifest, "files": digests, "sha256": read["sha256"]}
    assert intact(final) == read
    assert set(digests) == set(files)
    assert all((final / name).read_bytes() == content for name, content in files.items())
    assert [path.name for path in final.parent.iterdir()] == ["run"]
    victim = final / data.draw(st.sampled_from(sorted(files)))
    if data.draw(st.booleans()):
        victim.unlink()
    else:
        victim.write_bytes(victim.read_bytes() + b"more")
    assert intact(final) is None


@examples(40)
@given(st.lists(st.floats(), max_size=6))
def test_json_has_null_for_what_is_no_finite_number(numbers: list[float]) -> None:
    """And every other number to the last bit."""
    assert json.loads(to_json({"of": tuple(numbers)}))["of"] == [
        number if math.isfinite(number) else None for number in numbers
    ]

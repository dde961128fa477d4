"""What holds for every input, searched by Hypothesis: the store's bytes."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
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

"""`verify`: every kind of damage is found, named, marked, and mended."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import SMALL, Command, run_files, store_of
from mutations import fix
from typer.testing import Result

STUDY = [*SMALL, "norm=none,batch", "norm.momentum=0.1", "seed=0"]
RUN = ["manifest.json", ".hydra/config.yaml", ".hydra/overrides.yaml", ".hydra/hydra.yaml",
       "metrics.parquet", "stats.parquet", "layers.parquet"]  # fmt: skip
TRAJECTORY = ["manifest.json", "config.yaml", "batch_stats.parquet", "steps.parquet",
              "points.parquet", "population.parquet", "weights.safetensors"]  # fmt: skip
SWEEP = ["manifest.json", "summary.parquet", "sweep.yaml", "environment.json"]
ACCURACY = "test_accuracy_population"
FILES = {"run": RUN, "trajectory": TRAJECTORY, "sweep": SWEEP}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small store, made once."""
    return store_of(tmp_path_factory.mktemp("whole") / "runs", *STUDY)


@pytest.fixture
def study(whole: Path) -> Path:
    """A copy of its study, in this test's own store."""
    shutil.copytree(whole, "runs")
    return Path("runs/bn_regression")


def run_of(study: Path) -> Path:
    """The run with batch norm."""
    return next(study.glob("batch-*"))


def directory_of(study: Path, kind: str) -> Path:
    """A run, its trajectory, or the sweep."""
    if kind == "run":
        return run_of(study)
    if kind == "trajectory":
        about = json.loads((run_of(study) / "manifest.json").read_text())
        return study / "trajectories" / str(about["trajectory_id"])
    return next((study / "sweeps").iterdir())


def edited(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """A JSON file with something changed."""
    content = json.loads(path.read_text())
    content.pop("sha256")
    change(content)
    path.write_text(json.dumps(content))


def found(result: Result) -> dict[str, dict[str, Any]]:
    """The problems that `verify --json` has told, by directory."""
    assert result.exit_code == 4, result.output
    return {each["directory"]: each for each in json.loads(result.stdout)["problems"]}


def test_a_whole_store_is_verified_and_left_as_it_was(study: Path, normexp: Command) -> None:
    """Exit code 0, one line, no marker, no file touched."""
    before = {path: path.stat().st_mtime_ns for path in study.rglob("*")}
    result = normexp("verify")

    assert result.exit_code == 0, result.output
    assert result.stdout == "verified: 2 runs, 2 trajectories, 1 sweep; 0 problems\n"
    assert {path: path.stat().st_mtime_ns for path in study.rglob("*")} == before


def damaged(path: Path, damage: str) -> None:
    """Flip a byte of a file, cut off its end, or remove it."""
    content = path.read_bytes()
    at = len(content) // 3
    path.unlink()
    if damage == "flipped":
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    elif damage == "truncated":
        path.write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize("damage", ["flipped", "truncated", "gone"])
@pytest.mark.parametrize("manifests", [True, False])
def test_every_file_is_watched(
    study: Path, normexp: Command, damage: str, *, manifests: bool
) -> None:
    """Found, named, and nothing else is; a sweep without its manifest is one under way."""
    kinds = [kind for kind in FILES if (kind, damage, manifests) != ("sweep", "gone", True)]
    wanted = {
        str(directory_of(study, kind).relative_to("runs")): [
            name for name in FILES[kind] if (name == "manifest.json") == manifests
        ]
        for kind in kinds
    }
    for directory, names in wanted.items():
        for name in names:
            damaged(Path("runs") / directory / name, damage)
    problems = found(normexp("verify", "--json"))

    assert {each["directory"]: each["kind"] for each in problems.values()} == dict(
        zip(wanted, kinds, strict=True)
    )
    for directory, names in wanted.items():
        wrong = problems[directory]
        assert {what.partition(":")[0] for what in wrong["what"]} == set(names)
        is_marked = (Path("runs") / directory / "damage.json").exists()
        assert is_marked == (wrong["kind"] != "sweep") == bool(wrong["marked"])


def test_the_walk_above_goes_over_all_files(whole: Path) -> None:
    """Nothing that a sweep writes is left out of it."""
    for kind, names in FILES.items():
        directory = directory_of(whole / "bn_regression", kind)
        there = {str(p.relative_to(directory)) for p in directory.rglob("*") if p.is_file()}
        assert there == set(names)


@pytest.mark.parametrize("name", ["metrics.parquet", ".hydra/config.yaml"])
def test_a_sweep_mends_what_was_found(study: Path, normexp: Command, name: str) -> None:
    """A flipped bit that no size tells: marked, made anew bit for bit, and whole again."""
    run = run_of(study)
    before = run_files(Path("runs"))
    damaged(run / name, "flipped")
    verified = normexp("verify")
    swept = json.loads(normexp("sweep", *STUDY, "--json").stdout)

    assert verified.exit_code == 4
    assert (swept["cached"], swept["to_observe"], swept["to_train"]) == (1, 1, 0)
    assert run_files(Path("runs")) == before
    assert not (run / "damage.json").exists()
    assert normexp("verify").exit_code == 0


def test_what_is_restored_loses_its_marker(study: Path, normexp: Command) -> None:
    """`ls` says damaged as long as it is."""
    run = run_of(study)
    content = (run / "stats.parquet").read_bytes()
    (run / "stats.parquet").write_bytes(b"x" * len(content))
    normexp("verify", run.name)
    marked = normexp("ls", "bn_regression").stdout
    about = json.loads((run / "damage.json").read_text())
    (run / "stats.parquet").write_bytes(content)
    again = normexp("verify", run.name)

    assert "damaged" in marked
    assert about["problems"] == ["stats.parquet: it is not what was written (SHA-256 differs)"]
    assert again.exit_code == 0
    assert not (run / "damage.json").exists()
    assert "damaged" not in normexp("ls", "bn_regression").stdout


def test_identities_are_made_again(study: Path, normexp: Command) -> None:
    """Another configuration, another name, another trajectory's configuration: none fits."""
    run, trajectory = run_of(study), directory_of(study, "trajectory")
    edited(run / "manifest.json", lambda it: it["config"].update({"norm.momentum": 0.2}))
    config = trajectory / "config.yaml"
    config.write_bytes(config.read_bytes().replace(b"seed: 0", b"seed: 1"))
    fix(config)
    other = next(study.glob("none-*"))
    renamed = other.rename(other.with_name("none-s0-0123456789ab"))
    problems = found(normexp("verify", "--json"))
    whats = {name: " ".join(each["what"]) for name, each in problems.items()}

    assert "its configuration's is" in whats[str(run.relative_to("runs"))]
    assert ".hydra/config.yaml: it is not" in whats[str(run.relative_to("runs"))]
    assert "config.yaml: it is that of" in whats[str(trajectory.relative_to("runs"))]
    assert "its name ends in 0123456789ab" in whats[str(renamed.relative_to("runs"))]
    assert problems[str(renamed.relative_to("runs"))]["to_do"].startswith("give it back the name")
    assert not (renamed / "damage.json").exists()


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda table: table.slice(1), "it has 2 rows, its configuration gives 3"),
        (lambda table: table.drop_columns(["epoch"]), "its columns are not those of metrics"),
        (lambda table: table.replace_schema_metadata(None).cast(
            pa.schema([*list(table.schema)[:-1], pa.field("excess_loss", pa.float32())])),
         "its column excess_loss is float, not double"),
        (lambda table: table.set_column(
            7, table.schema.field(7), pa.array([0.0] * 3)), "its last row is not what"),
        (lambda table: table.set_column(7, "excess_loss", table.column(7)),
         "its column excess_loss does not say what it is"),
    ],
    ids=["rows", "columns", "types", "values", "units"],
)  # fmt: skip
def test_tables_are_read_though_their_digest_is_right(
    study: Path, normexp: Command, change: Callable[[pa.Table], pa.Table], what: str
) -> None:
    """Row counts, columns, types, units, and the last row that the manifest repeats."""
    path = run_of(study) / "metrics.parquet"
    pq.write_table(change(pq.ParquetFile(path).read()), path)
    fix(path)
    (problem,) = found(normexp("verify", "--json")).values()

    assert len(problem["what"]) == 1
    assert problem["what"][0].startswith(f"metrics.parquet: {what}")


def test_a_table_from_elsewhere_is_read_whole(
    study: Path, normexp: Command, tmp_path: Path
) -> None:
    """Rubbish between a good footer and a good digest; at home nobody but ourselves made it."""
    away = tmp_path / "far" / "renamed"
    shutil.copytree(run_of(study), away)
    path = away / "stats.parquet"
    content = path.read_bytes()
    footer = int.from_bytes(content[-8:-4], "little") + 8
    path.write_bytes(content[:4] + b"\xff" * (len(content) - footer - 4) + content[-footer:])
    fix(path)
    (problem,) = found(normexp("verify", str(away), "--json")).values()

    assert len(problem["what"]) == 1
    assert problem["what"][0].startswith("stats.parquet: it cannot be read")


def test_a_configuration_too_large_to_be_read_is_wrong(study: Path, normexp: Command) -> None:
    """A comment of 64 MiB, the digest mended."""
    files = [run_of(study) / ".hydra/config.yaml",
             directory_of(study, "trajectory") / "config.yaml"]  # fmt: skip
    for path in files:
        path.write_bytes(path.read_bytes() + b"#" * 2**26)
        fix(path)
    problems = found(normexp("verify", "--json")).values()

    assert sorted(what for each in problems for what in each["what"]) == [
        ".hydra/config.yaml: it is not the manifest's configuration",
        "config.yaml: it is too large",
    ]


@pytest.mark.parametrize("size", [8, 20], ids=["parts", "no parts"])
def test_optional_columns_are_those_of_the_configuration(normexp: Command, size: int) -> None:
    """Accuracies all or none; the virtual batch where there are several, and only there."""
    store = store_of(Path("runs"), *SMALL, "norm=ghost", f"norm.size={size}", "seed=0",
                     "norm.momentum=0.1", "data=digits")  # fmt: skip
    (batches,), (points,), (metrics,) = (
        [*store.rglob(f"{name}.parquet")] for name in ("batch_stats", "points", "metrics")
    )
    assert normexp("verify").exit_code == 0
    for path, column in ((batches, "part"), (points, ACCURACY), (metrics, ACCURACY)):
        table = pq.ParquetFile(path).read()
        if column in table.column_names:
            table = table.drop_columns([column])
        else:
            field = pa.field(column, pa.int32(), metadata={"unit": "", "doc": "virtual batch"})
            table = table.add_column(1, field, pa.array([0] * table.num_rows, pa.int32()))
        pq.write_table(table, path)
        fix(path)
    problems = found(normexp("verify", "--json")).values()

    assert sorted(what for each in problems for what in each["what"]) == [
        "batch_stats.parquet: its column part does not fit its configuration",
        "metrics.parquet: its columns are not those of metrics",
        "points.parquet: its columns are not those of points",
    ]


def test_weights_have_the_shapes_of_the_model(study: Path, normexp: Command) -> None:
    """Another model's weights, their digest mended."""
    from safetensors.numpy import load_file, save_file

    path = directory_of(study, "trajectory") / "weights.safetensors"
    weights = load_file(path)
    weights["hidden1.weight"] = weights["hidden1.weight"][:2]
    save_file(weights, path)
    fix(path)
    (problem,) = found(normexp("verify", "--json")).values()

    assert problem["what"] == ["weights.safetensors: hidden1.weight is not of shape 3×4×1"]


def test_a_summary_says_what_its_runs_say(study: Path, normexp: Command) -> None:
    """A loss of its own is found; a run observed again more densely keeps its losses."""
    denser = normexp("sweep", *STUDY, "log.every=1")
    first = normexp("verify")
    path = min((study / "sweeps").iterdir()) / "summary.parquet"
    table = pq.ParquetFile(path).read()
    column = table.column_names.index("test_loss")
    changed = table.set_column(column, "test_loss", pa.array([1.0, 2.0]))
    pq.write_table(changed, path)
    fix(path)
    (problem,) = found(normexp("verify", "--json")).values()

    assert (denser.exit_code, first.exit_code) == (0, 0)
    assert problem["what"][0].endswith("are not what its row says")


def test_what_is_no_damage_is_no_error(study: Path, normexp: Command) -> None:
    """A sweep under way, hidden files, a run whose trajectory is gone."""
    (directory_of(study, "sweep") / "manifest.json").unlink()
    (study / ".claim-1").write_text("")
    shutil.rmtree(directory_of(study, "trajectory"))
    result = normexp("verify")

    assert result.exit_code == 0, result.output
    assert result.stdout == "verified: 2 runs, 1 trajectory, 0 sweeps; 0 problems\n"
    for word in ("1 sweep not ended", "1 hidden file,", "1 run without a trajectory"):
        assert word in result.stderr


def test_anything_can_be_verified_alone(study: Path, normexp: Command, tmp_path: Path) -> None:
    """A study, a sweep, a run, a trajectory, each by name or path; a run copied away, renamed."""
    run, trajectory = run_of(study), directory_of(study, "trajectory")
    sweep, away = directory_of(study, "sweep"), tmp_path / "far" / "renamed"
    shutil.copytree(run, away)
    store = "2 runs, 2 trajectories, 1 sweep"
    expected = {
        "runs": store, "bn_regression": store, str(study): store, sweep.name: store,
        str(sweep): store, run.name: "1 run, 1 trajectory, 0 sweeps",
        run.name[-8:]: None, run.name[-12:-4]: "1 run, 1 trajectory, 0 sweeps",
        trajectory.name: "0 runs, 1 trajectory, 0 sweeps",
        str(trajectory): "0 runs, 1 trajectory, 0 sweeps",
        str(away): "1 run, 0 trajectories, 0 sweeps", f"{study}/trajectories": store,
        f"{study}/sweeps": store,
    }  # fmt: skip

    for wanted, counts in expected.items():
        result = normexp("verify", wanted)
        assert result.exit_code == (3 if counts is None else 0), (wanted, result.output)
        if counts:
            assert result.stdout == f"verified: {counts}; 0 problems\n"
    assert normexp("verify", "--dir", str(study)).exit_code == 0
    assert not list(study.rglob("damage.json"))
    (away / "stats.parquet").unlink()
    assert normexp("verify", str(away)).exit_code == 4


def test_nothing_there_is_exit_code_3(normexp: Command) -> None:
    """With the next thing to type."""
    nothing, nobody = normexp("verify"), normexp("verify", "bn_regression")

    assert (nothing.exit_code, nobody.exit_code) == (3, 3)
    assert "hint:" in nothing.stderr

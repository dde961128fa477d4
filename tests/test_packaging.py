"""The wheel: what is in it, and that it runs where nothing of the working tree is."""

import itertools
import json
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from conftest import SMALL

TOP = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of the working tree."""
    place = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(place)]
    subprocess.run([*command, str(TOP)], check=True, capture_output=True)
    return next(place.glob("*.whl"))


def test_the_wheel_holds_the_package_and_the_configs(wheel: Path) -> None:
    """Every file of both, and nothing else."""
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    package = {str(path.relative_to(TOP)) for path in (TOP / "normexp").rglob("*.py")}
    page = {f"normexp/report/page.{suffix}" for suffix in ("css", "js", "html.jinja")}
    configs = {f"normexp/{path.relative_to(TOP)}" for path in (TOP / "configs").rglob("*.*")}

    assert names == package | page | configs | {
        "normexp/README.md",
        "normexp/own/README.md",
        "normexp/py.typed",
    }


def test_the_wheel_runs_in_an_empty_environment_from_another_folder(
    wheel: Path, tmp_path: Path
) -> None:
    """A new environment that borrows the dependencies, and has normexp from the wheel alone."""
    home = tmp_path / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True)
    python = home / "bin/python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--no-index", str(wheel)], check=True)
    site = next(home.glob("lib/*/site-packages"))
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    where = subprocess.run(
        [str(python), "-c", "import normexp; print(normexp.__file__)"],
        cwd=tmp_path, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    swept = subprocess.run(
        [str(home / "bin/normexp"), "sweep", *SMALL, "norm=none", "seed=0,1", "--json"],
        cwd=tmp_path, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip

    subprocess.run([str(home / "bin/normexp"), "report"], cwd=tmp_path, check=True)

    assert str(home) in where
    assert (tmp_path / "runs/reports/runs/report.html").is_file()
    assert json.loads(swept)["runs"] == 2
    assert (tmp_path / json.loads(swept)["directory"] / "summary.parquet").is_file()


def test_every_requirement_is_pinned() -> None:
    """Each dependency of pyproject.toml has one exact version in constraints.txt."""
    import re
    import tomllib

    project = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *itertools.chain(*extras.values())]
    lines = (TOP / "constraints.txt").read_text().lower().replace("_", "-").splitlines()
    pinned = {line.partition("==")[0] for line in lines if "==" in line}

    assert {re.split(r"[<>=\[]", name)[0].lower().replace("_", "-") for name in wanted} <= pinned

"""The front door: README's commands print what it says, and its links lead somewhere."""

import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Command
from PIL import Image

TOP = Path(__file__).parents[1]
README = (TOP / "README.md").read_text()
PICTURE = re.findall(r"!\[.*?\]\((.*?)\)", README)[0]
MOST_APART = 0.005
"""Of two thumbnails, on average: those of two figures of one report are 0.012 apart or more."""

BLOCK = re.compile(r"```console\n\$ normexp ?(.*?)\n(.*?)```", re.DOTALL)
PYTHON = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
EXAMPLES = sorted(PYTHON, key=lambda code: "transformers" in code)
SESSION = BLOCK.findall(README)
IN_CLUSTERS = BLOCK.findall(README.partition("## More than one machine")[2].partition("\n## ")[0])


def shape(text: str) -> list[str]:
    """Its lines with every number as #: what holds on any machine."""
    lines = [re.sub(r"\S*\d\S*|under a second", "#", line) for line in text.splitlines()]
    return [" ".join(line.replace("─", "").split()) for line in lines if line.strip()]


def test_the_session_prints_what_the_readme_says(normexp: Command) -> None:
    """Every console block in order, in one empty directory: the same lines, numbers aside."""
    here = [block for block in SESSION if block not in IN_CLUSTERS]
    assert len(here) == 9
    for command, expected in here:
        result = normexp(*shlex.split(command))

        assert result.exit_code == 0, result.stderr
        assert shape(result.stdout) == shape(expected)
    made = Path("runs/reports/bn_regression/figures/momentum-curve.png")
    assert np.abs(thumbnail(made) - thumbnail(TOP / PICTURE)).mean() < MOST_APART


def test_the_session_on_keeping_a_store_prints_what_its_page_says(normexp: Command) -> None:
    """Every command of runs/README.md in order, in one empty directory."""
    page = (TOP / "runs/README.md").read_text()
    session = re.findall(r"^\$ normexp (.*)\n((?:(?!\$|```).*\n)*)", page, flags=re.MULTILINE)
    assert len(session) == 7
    for command, expected in session:
        if command.startswith("search"):
            pytest.importorskip("optuna")
        result = normexp(*shlex.split(command))

        assert result.exit_code == 0, result.stderr
        assert shape(result.stdout) == shape(expected)


def test_what_the_readme_says_of_clusters_happens(
    normexp: Command, cluster: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every console block of that section, on Slurm's own daemons and on Ray."""
    monkeypatch.setenv("SLURM_CONF", str(cluster))
    assert len(IN_CLUSTERS) == 3
    for command, expected in IN_CLUSTERS:
        result = normexp(*shlex.split(command))

        assert result.exit_code == 0, result.stderr
        assert shape(result.stdout) == shape(expected)


def thumbnail(path: Path) -> "np.ndarray[Any, np.dtype[np.float64]]":
    """A picture small and in grey, from 0 to 1: what is drawn where, not its every pixel."""
    return np.asarray(Image.open(path).convert("L").resize((96, 54))) / 255


def test_what_the_readme_says_of_its_first_table_stands_there() -> None:
    """Every figure of the paragraph below it, as the table rounds it or rounded further."""
    _, table = SESSION[0]
    paragraph = README.split("```")[2].strip().split("\n\n")[0]
    figures = re.findall(r"\d+(?:\.\d+)?", paragraph)

    assert len(figures) >= 4
    for figure in figures:
        assert re.search(rf"(?<![\d.]){re.escape(figure)}(?!\d)", table), figure


def test_the_python_example_runs(tmp_path: Path) -> None:
    """As written, in an empty directory."""
    code, *_ = EXAMPLES
    names: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), names)  # noqa: S102  our own page

    assert (tmp_path / "runs/bn_regression/sweeps").is_dir()
    assert len(names["runs"]) == 8 + 8 * 5  # type: ignore[arg-type]


@pytest.mark.filterwarnings("ignore")  # of transformers
def test_the_example_of_an_own_network_prints_what_the_readme_says(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A ResNet-18 in a loop of its own, and the verdict: the same lines, numbers aside."""
    pytest.importorskip("transformers")
    _, code, _ = EXAMPLES
    exec(compile(code, "README.md", "exec"), {})  # noqa: S102  our own page
    (expected,) = re.findall(r"```text\n(step .*?)```", README, flags=re.DOTALL)

    assert shape(capsys.readouterr().out) == shape(expected)


def test_the_example_of_a_sweep_over_an_own_network_is_what_its_command_plans(
    normexp: Command,
) -> None:
    """Six trainings and twelve runs of the file on the page."""
    pytest.importorskip("transformers")
    *_, code = EXAMPLES
    Path("resnet.py").write_text(code)
    (words,) = re.findall(r"\$ normexp sweep (--as resnet .*?)\n norm ", README, re.DOTALL)
    done = normexp("plan", *shlex.split(words.replace("\\\n", "")))

    assert done.exit_code == 0, done.stderr
    assert "12 runs" in done.stdout
    assert "6 trajectories" in done.stdout


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)]+)\)", README))
def test_links_lead_somewhere(link: str) -> None:
    """Inside the repository."""
    assert (TOP / link).exists()

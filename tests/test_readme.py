"""The pages for users: their commands print what they say, and their links lead somewhere."""

import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Command
from PIL import Image

TOP = Path(__file__).parents[1]
README = (TOP / "README.md").read_text()
PAGES = ("README.md", "configs/README.md", "runs/README.md", "normexp/README.md",
         "normexp/own/README.md", "tests/README.md", ".github/CONTRIBUTING.md")  # fmt: skip
OWN = (TOP / "normexp/own/README.md").read_text()
PICTURE = re.findall(r"!\[.*?\]\((.*?)\)", README)[0]
MOST_APART = 0.005
"""Of two thumbnails, on average: those of two figures of one report are 0.012 apart or more."""

TYPED = re.compile(r"^\$ normexp ?(.*)\n((?:(?!\$|```).*\n)*)", re.MULTILINE)
"""A command of a console block, and what it prints."""

LOOP, PYTHON = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
ROWS = re.findall(r"^\| .* \| `(normexp .*?|python -c .*?)`", README, flags=re.MULTILINE)


def sections(page: str) -> dict[str, list[tuple[str, str]]]:
    """The commands of a page with their output, by section."""
    found = {}
    for part in re.split(r"^## ", (TOP / page).read_text(), flags=re.MULTILINE)[1:]:
        blocks = re.findall(r"```console\n(.*?```)", part, re.DOTALL)
        if blocks:
            found[part.partition("\n")[0]] = [each for b in blocks for each in TYPED.findall(b)]
    return found


SESSIONS = {(page, title): session for page in PAGES for title, session in sections(page).items()}


def shape(text: str) -> list[str]:
    """Its lines with every number as #: what holds on any machine."""
    lines = [re.sub(r"\S*\d\S*|under a second", "#", line) for line in text.splitlines()]
    return [" ".join(line.replace("─", "").split()) for line in lines if line.strip()]


def test_the_pages_have_sessions() -> None:
    """Whose commands are found."""
    assert {key: len(session) for key, session in SESSIONS.items()} == {
        ("README.md", "First study"): 1,
        ("runs/README.md", "Look"): 5,
        ("runs/README.md", "Explain"): 4,
        ("runs/README.md", "Keep, hand on, throw away"): 7,
        ("runs/README.md", "Search"): 1,
        ("runs/README.md", "More than one machine"): 3,
    }


@pytest.mark.parametrize(("page", "title"), SESSIONS, ids=str)
def test_a_session_prints_what_its_page_says(
    normexp: Command,
    page: str,
    title: str,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    """A section's commands in order, in one empty directory: the same lines, numbers aside."""
    if title == "Search":
        pytest.importorskip("optuna")
    if title == "More than one machine":
        monkeypatch.setenv("SLURM_CONF", str(request.getfixturevalue("cluster")))
    monkeypatch.setenv("COLUMNS", "100" if page == "README.md" else "160")
    for command, expected in SESSIONS[page, title]:
        result = normexp(*shlex.split(command))

        assert result.exit_code == 0, result.stderr
        assert shape(result.stdout) == shape(expected)
    if title == "Look":
        made = Path("runs/reports/bn_regression/figures/momentum-curve.png")
        assert np.abs(thumbnail(made) - thumbnail(TOP / PICTURE)).mean() < MOST_APART


def thumbnail(path: Path) -> "np.ndarray[Any, np.dtype[np.float64]]":
    """A picture small and in grey, from 0 to 1: what is drawn where, not its every pixel."""
    return np.asarray(Image.open(path).convert("L").resize((96, 54))) / 255


def test_the_front_page_is_short() -> None:
    """To be read on one screen after another, and in any terminal."""
    lines = README.splitlines()

    assert len(lines) <= 160
    assert max(map(len, lines)) <= 120


def test_what_the_readme_says_of_its_first_table_stands_there() -> None:
    """Every figure of the paragraph below it, as the table rounds it or rounded further."""
    ((_, table),) = SESSIONS["README.md", "First study"]
    after = README.partition("```console")[2].partition("```")[2]
    figures = re.findall(r"\d+(?:\.\d+)?", after.strip().split("\n\n")[0])

    assert len(figures) >= 4
    for figure in figures:
        assert re.search(rf"(?<![\d.]){re.escape(figure)}(?!\d)", table), figure


def test_every_row_of_what_one_wants_to_do_can_be_typed(normexp: Command) -> None:
    """In the store of the first study, with files of the user's; larger studies are planned."""
    x = np.linspace(0, 1, 200)[:, None]
    np.savez("mine.npz", x=x, y=2 * x)
    Path("net.py").write_text(
        "from torch import nn\n\n\ndef make():\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.ReLU(),"
        " nn.Linear(8, 10))\n"
    )
    norm = torch.nn.BatchNorm1d(8)
    norm(torch.randn(32, 8))
    torch.save(norm.state_dict(), "model.pt")
    assert normexp("sweep").exit_code == 0
    wanted = [row for row in ROWS if "sweep study=" not in row or "norm=" in row]
    assert len(wanted) == 10
    for row in wanted:
        program, *words = shlex.split(row)
        if program == "python":
            exec(compile(words[1], "README.md", "exec"), {})  # noqa: S102  our own page
            continue
        if any(word.startswith("study=") for word in words):
            words[0] = "plan"
        result = normexp(*words)

        assert result.exit_code == 0, (row, result.stderr)


def test_the_python_example_runs(tmp_path: Path) -> None:
    """As written, in an empty directory."""
    names: dict[str, object] = {}
    exec(compile(PYTHON, "README.md", "exec"), names)  # noqa: S102  our own page

    assert (tmp_path / "runs/bn_regression/sweeps").is_dir()
    assert len(names["runs"]) == 8 + 8 * 5  # type: ignore[arg-type]


@pytest.mark.filterwarnings("ignore")  # of transformers
def test_the_example_of_an_own_network_prints_what_the_readme_says(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A ResNet-18 in a loop of its own, and the verdict: the same lines, numbers aside."""
    pytest.importorskip("transformers")
    exec(compile(LOOP, "README.md", "exec"), {})  # noqa: S102  our own page
    (expected,) = re.findall(r"```text\n(step .*?)```", README, flags=re.DOTALL)

    assert shape(capsys.readouterr().out) == shape(expected)


def test_the_example_of_a_sweep_over_an_own_network_is_what_its_command_plans(
    normexp: Command,
) -> None:
    """Six trainings and twelve runs of the file on the page."""
    pytest.importorskip("transformers")
    (code,) = re.findall(r"```python\n(.*?)```", OWN, flags=re.DOTALL)
    Path("resnet.py").write_text(code)
    (words,) = re.findall(r"\$ normexp sweep (--as resnet .*?)\n norm ", OWN, re.DOTALL)
    done = normexp("plan", *shlex.split(words.replace("\\\n", "")))

    assert done.exit_code == 0, done.stderr
    assert "12 runs" in done.stdout
    assert "6 trajectories" in done.stdout


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    """Inside the repository."""
    place = (TOP / page).parent
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", re.sub(r"`[^`]*`", "", (TOP / page).read_text()))

    assert [link for link in links if not (place / link).exists() and "://" not in link] == []

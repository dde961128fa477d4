"""The house: who may import whom, how large a room is, what start-up may load."""

import ast
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest

import normexp

PACKAGE = Path(normexp.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
TESTS = sorted(Path(__file__).parent.rglob("*.py"))

ROWS = [
    ["__main__"],
    ["cli"],
    ["report"],
    ["console"],
    ["trust", "claims", "own"],
    ["sweeps"],
    ["insight", "export"],
    ["executors", "engine"],
    ["store"],
    ["study"],
    ["data", "nets", "trained", "numerics"],
    ["config"],
    ["theory"],
    ["errors"],
]
"""Rooms from top to bottom; a file imports from its own room and from rows below."""

MOST_TOKENS = 220_800
MOST_LINES_OF_A_ROOM = 4_020
MOST_FILES_OF_A_SWEEP = 52
"""Limits that are lowered as the house shrinks."""

TRACED = """
import sys, threading
package, files = sys.argv[1], set()
def is_imported(frame):
    while frame is not None and not (
        frame.f_code.co_name == '<module>' and frame.f_code.co_filename.startswith(package)
    ):
        frame = frame.f_back
    return frame is not None
def trace(frame, event, argument):
    path = frame.f_code.co_filename
    if path.startswith(package) and path not in files and not is_imported(frame):
        files.add(path)
threading.settrace(trace)
sys.settrace(trace)
from normexp.cli import main
sys.argv[:2] = ['normexp']
try:
    main()
finally:
    sys.settrace(None)
    print(*sorted(files), sep='\\n')
"""
"""Runs a command, and prints the files whose functions it has called, imports aside."""

TOKENS = (tokenize.NAME, tokenize.OP, tokenize.NUMBER, tokenize.STRING)

ROW_OF = {room: row for row, rooms in enumerate(ROWS) for room in rooms}
BESIDE = {("nets", "numerics"), ("data", "numerics")}
"""Rooms of one row that may import one another in this direction."""


def room(path: Path) -> str:
    """The room of a file: its folder, or its own name at the top."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[0]


def imported_rooms(path: Path) -> set[str]:
    """The rooms that a file imports from, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        found |= {name.split(".")[1] for name in names if name.startswith("normexp.")}
    return found & set(ROW_OF)


def test_imports_point_down() -> None:
    """Nothing imports from its own row or above, its own room apart."""
    upwards = {
        (str(path.relative_to(PACKAGE)), other)
        for path in FILES
        if path != PACKAGE / "__init__.py"  # it gives out public names
        for own in [room(path)]
        for other in imported_rooms(path) - {own}
        if ROW_OF[other] <= ROW_OF[own] and (own, other) not in BESIDE
    }

    assert upwards == set()


def test_no_file_is_longer_than_350_lines() -> None:
    """What grows beyond that has two nouns."""
    lines = {path: len(path.read_text().splitlines()) for path in [*FILES, *TESTS]}

    assert {path.name: number for path, number in lines.items() if number > 350} == {}


def tokens(path: Path) -> int:
    """Names, operators, numbers and strings of a file; docstrings are none of them."""
    nodes = ast.walk(ast.parse(path.read_text()))
    texts = {
        node.lineno
        for node in nodes
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if isinstance(node.value.value, str)
    }
    with path.open("rb") as file:
        found = [each for each in tokenize.tokenize(file.readline) if each.type in TOKENS]
    return sum(each.type != tokenize.STRING or each.start[0] not in texts for each in found)


def test_the_house_stays_small() -> None:
    """In tokens, which no layout saves, and room by room."""
    lines: dict[str, int] = {}
    for path in FILES:
        number = len(path.read_text().splitlines())
        lines[room(path)] = lines.get(room(path), 0) + number

    assert sum(map(tokens, FILES)) <= MOST_TOKENS
    assert max(lines.values()) <= MOST_LINES_OF_A_ROOM, lines


def test_a_sweep_of_one_run_passes_through_few_files(tmp_path: Path) -> None:
    """Whoever follows it from the command to its table has to open no more than these."""
    small = ["model.depth=2", "model.width=4", "data.train_size=40", "train.epochs=2"]
    command = [sys.executable, "-c", TRACED, str(PACKAGE), "sweep", "norm=batch", "seed=0", *small]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    files = [line for line in done.stdout.splitlines() if line.startswith(str(PACKAGE))]

    assert done.returncode == 0, done.stderr
    assert len(files) <= MOST_FILES_OF_A_SWEEP, files


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--help"], 0),
        (["plan", "norm=none"], 0),
        (["why", "norm=none"], 0),
        (["ls"], 3),
        (["convert", "0.9"], 0),
    ],
)
def test_quick_commands_import_nothing_slow(
    arguments: list[str], code: int, tmp_path: Path
) -> None:
    """Python names every module it imports: none of the slow ones, Hydra not for help."""
    command = [sys.executable, "-X", "importtime", "-m", "normexp", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    modules = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}

    assert done.returncode == code
    assert "typer" in modules
    assert not {"torch", "pandas", "pyarrow", "numba"} & modules
    assert "hydra" not in modules or arguments != ["--help"]


def test_nothing_executes_what_a_file_says() -> None:
    """No pickle, no eval, no instantiation by name, no YAML that could make objects."""
    forbidden = ("pickle", "torch.load(", "instantiate(", "yaml.load(", "eval(", "exec(")
    found = {(path.name, word) for path in FILES for word in forbidden if word in path.read_text()}

    assert found == {
        ("norms.py", "eval("),  # BatchNorm1d.eval() in a docstring
        ("rules.py", "eval("),  # model.eval() in advice
        ("checkpoint.py", "torch.load("),  # weights_only=True, see test_checkpoint.py
        ("source.py", "exec("),  # a file that was typed, see test_own_sweep.py
        ("arrays.py", "pickle"),  # allow_pickle=False
        ("processes.py", "pickle"),  # work for processes of our own
        ("ray.py", "pickle"),  # the same
        ("ray_driver.py", "pickle"),  # the same
        ("cifar10.py", "pickle"),  # an unpickler that knows arrays only, see test_cifar10.py
    }


def test_every_config_file_is_tracked() -> None:
    """`configs/` ships whole inside the wheel: a stray file there would ship too."""
    top = PACKAGE.parent
    if not (top / ".git").exists():
        pytest.skip("not in a git checkout")
    command = ["git", "-C", str(top), "status", "--porcelain", "--ignored", "configs"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)

    assert [line for line in done.stdout.splitlines() if line.startswith(("!!", "??"))] == []

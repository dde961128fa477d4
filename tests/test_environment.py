"""The environment record: what it says, and what it says has changed."""

import ast
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import in_new_process

import normexp
from normexp.sweeps import environment as module
from normexp.sweeps.environment import (
    DECIDING,
    changed,
    digest,
    environment,
    torch_environment,
    unknown,
)

PACKAGE = Path(normexp.__file__).parent


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The package's source, to be edited."""
    return shutil.copytree(PACKAGE, tmp_path / "normexp", ignore=lambda *_: ["__pycache__"])


def test_the_record_is_json_and_imports_no_torch() -> None:
    """What planning asks for must not wait for PyTorch."""
    said = in_new_process(
        "import json, sys\n"
        "from normexp.sweeps.environment import environment\n"
        "print(json.dumps([environment(), 'torch' in sys.modules]))"
    )

    assert json.loads(said) == [environment(), False]


def test_every_deciding_entry_is_recorded() -> None:
    """A name that no record has would never differ."""
    both = environment() | torch_environment()

    assert set(DECIDING) <= set(both)
    assert not set(environment()) & set(torch_environment())
    assert json.loads(json.dumps(both)) == both


def test_settings_are_recorded_as_they_are_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Null where they are not."""
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "avx2")
    now = environment.__wrapped__()

    assert now["threads"] == {"OMP_NUM_THREADS": "3", "MKL_NUM_THREADS": None}
    assert now["aten_cpu_capability"] == "avx2"


def test_only_what_decides_about_numbers_counts_as_changed() -> None:
    """With both values; another pyarrow or commit is none of it, and what is missing is unknown.

    Null is a value: it is not set; what is not there was not asked.
    """
    then = {"code": "aaa", "torch": "2.13.0", "mkl_cbwr": None, "pyarrow": "26", "commit": "1"}
    now = {"code": "bbb", "torch": "2.13.0", "mkl_cbwr": "AVX2", "pyarrow": "27", "commit": "2"}

    assert changed(then, now) == {"code": ("aaa", "bbb"), "mkl_cbwr": (None, "AVX2")}
    assert changed(now, now) == changed({"torch": "2.13.0"}, now) == {}
    assert unknown(then, now) == ()
    assert unknown({"torch": "2.13.1"}, now) == ("code", "mkl_cbwr")


COSMETICS = [
    ("engine/observe.py", '"""', '"""Other words.\n\n'),
    ("numerics.py", "import hashlib\n", "\n\n# a remark\nimport hashlib  # another\n\n\n"),
    ("nets/norms.py", "\n\n\n", "\n\n\n\n\n"),
    ("console/words.py", "def ", "def un"),
    ("store/layout.py", "ID_LENGTH = 12", "ID_LENGTH = 13"),
    ("store/columns.py", '"""By table', '"""By any table'),
]
CHANGES = [
    ("numerics.py", ">> 1", ">> 2"),
    ("trained.py", "1e6", "1e7"),
    ("store/columns.py", '"steps"', '"step"'),
    ("config/schema.py", "def ", "def un"),
    ("engine/step.py", "(1 + ", "(2 + "),
    ("nets/norms.py", "import torch", "import torch as torch"),
]


def test_cosmetics_and_other_rooms_leave_the_code_as_it_is(copy: Path) -> None:
    """Comments, docstrings, blank lines, formatting; listings and tables for people."""
    for file, old, new in COSMETICS:
        edit(copy / file, old, new)
    edited = digest(copy)
    for path in copy.rglob("*.py"):  # Python itself knows neither comments nor line breaks
        path.write_text(ast.unparse(ast.parse(path.read_text())))

    assert edited == digest(copy) == digest(PACKAGE)


def test_every_change_of_what_makes_numbers_changes_the_code(copy: Path) -> None:
    """In every room that makes them; and so does another name of a file."""
    found = [digest(PACKAGE)]
    for file, old, new in CHANGES:
        edit(copy / file, old, new)
        found.append(digest(copy))
    (copy / "nets/layout.py").rename(copy / "nets/other.py")
    found.append(digest(copy))

    assert len({*found}) == len(CHANGES) + 2


def test_uncommitted_work_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Null when clean; else a digest of the changes, and of new files in package and configs."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    (tmp_path / "normexp").mkdir()
    (tmp_path / "normexp/a.py").write_text("a = 1\n")
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "begin"]):
        subprocess.run([*git, *arguments], check=True)
    monkeypatch.setattr(module, "_checkout", lambda: tmp_path)

    def name_after(path: str, content: str) -> str | None:
        (tmp_path / path).write_text(content)
        name: str | None = module.environment.__wrapped__()["dirty"]
        return name

    clean = name_after("normexp/a.py", "a = 1\n")
    edited = name_after("normexp/a.py", "a = 2\n")
    added = name_after("normexp/b.py", "b = 1\n")
    other = name_after("normexp/b.py", "b = 2\n")
    elsewhere = name_after("notes.txt", "not ours")

    assert clean is None
    assert len({clean, edited, added, other}) == 4
    assert elsewhere == other


def edit(path: Path, old: str, new: str) -> None:
    """Replace the first of what must be there."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))

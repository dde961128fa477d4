"""Notes and tags of sweeps: given as it begins or later, and found again."""

from pathlib import Path

import pytest
from conftest import SMALL, AsJson, Command

ONE = [*SMALL, "norm=none"]


@pytest.fixture(autouse=True)
def store(command: Command) -> None:
    """Two sweeps, the first with a note and a tag."""
    first = ["--note", "the figure", "--tag", "paper"]
    assert command("sweep", *ONE, "seed=0", *first).exit_code == 0
    assert command("sweep", *ONE, "seed=1").exit_code == 0


def test_what_a_sweep_was_called_finds_it(as_json: AsJson, command: Command) -> None:
    """In the listing, by a tag, a day or a status."""
    first, second = as_json("ls")
    assert (first["note"], first["tags"], second["tags"]) == ("the figure", ["paper"], [])
    assert [row["sweep"] for row in as_json("ls", "--tag", "paper")] == [first["sweep"]]
    assert len(as_json("ls", "--since", "2026-01-01", "--status", "complete")) == 2
    shown = command("ls").stdout
    assert "the figure" in shown
    assert "paper" in shown


def test_tags_and_notes_are_changed_later(as_json: AsJson) -> None:
    """Added once, taken away, and no stranger to verify."""
    _, second = (row["sweep"] for row in as_json("ls"))
    assert as_json("tag", second, "b", "a", "b")["tags"] == ["b", "a"]
    assert as_json("tag", second, "b", "--remove")["tags"] == ["a"]
    assert as_json("note", second, "why")["note"] == "why"
    (row,) = as_json("ls", "--tag", "a")
    assert (row["note"], row["sweep"]) == ("why", second)
    assert as_json("note", second, "")["note"] == ""
    assert as_json("verify")["problems"] == []


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (["ls", "--tag", "nobody"], "no sweep is like that", "tags paper"),
        (["ls", "--since", "2999-01-01"], "no sweep is like that", "from 2"),
        (["ls", "--since", "yesterday"], "is no date", "--since 2026-11-27"),
        (["tag", "bn_regression", "x"], "is a study, not a sweep", "normexp ls"),
    ],
)
def test_what_does_not_fit_is_refused(
    words: list[str], message: str, hint: str, command: Command
) -> None:
    """With what there is."""
    done = command(*words)

    assert done.exit_code == 2
    assert message in done.stderr.splitlines()[0]
    assert hint in done.stderr.splitlines()[1]


def test_labels_that_cannot_be_read_are_none(as_json: AsJson) -> None:
    """A stranger's file is bounded and typed, and harms nothing."""
    place = Path(as_json("ls")[0]["directory"])
    (place / "labels.json").write_text('{"note": 3}')

    assert as_json("ls")[0]["note"] == ""

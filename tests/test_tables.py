"""Tables as wide as a terminal: which columns stay, where words break."""

from collections.abc import Callable

import pytest

from normexp.console.output import field_cells, print_table

Printed = Callable[..., list[str]]

PATH = "runs/bn_regression/none-s0-64fdd590c34c"


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Printed:
    """The lines of a table's rows, below the rule."""

    def call(rows: list[dict[str, object]], width: int, *drop: str) -> list[str]:
        monkeypatch.setenv("COLUMNS", str(width))
        print_table(rows, drop)
        below = capsys.readouterr().out.rpartition("─\n")[2]
        return below.partition("no room")[0].splitlines()

    return call


def test_a_column_is_back_once_a_wider_one_has_made_room(printed: Printed) -> None:
    """`a` is left out first, which is not enough; `b` makes room for both."""
    row: dict[str, object] = {"name": "batch", "a": 1, "b": 10**20, "loss": 0.25}

    assert [printed([row], width, "a", "b") for width in (42, 25, 12)] == [
        [f" batch  1  {10**20}  0.250"],
        [" batch  1  0.250"],
        [" batch  0.250"],
    ]


def test_words_break_at_blanks_and_long_ones_after_commas(printed: Printed) -> None:
    """What is to be copied stays whole, figures always do."""
    row: dict[str, object] = {
        "place": PATH,
        "typed": "norm.momentum=0.1,0.25,0.5 seed=0",
        "n": "123456",
    }

    blank = " " * (len(PATH) + 3)

    assert printed([row], 70) == [
        f" {PATH}  norm.momentum=0.1,    123456",
        f"{blank}0.25,0.5 seed=0",
    ]
    assert printed([row], 60)[0].startswith(" runs/bn_regression/none-")


def test_figures_stand_to_the_right_and_words_to_the_left(printed: Printed) -> None:
    """A dash is a figure among figures; a column that nobody has is left out."""
    rows: list[dict[str, object]] = [
        {"momentum": 0.1, "kind": "batch", "loss": "1.5 ± 0.2~", "tags": None},
        {"momentum": None, "kind": "–", "loss": "11 ± 2", "tags": None},
    ]

    assert printed(rows, 80) == [
        "    0.100  batch  1.5 ± 0.2~",
        "        –  –          11 ± 2",
    ]


def test_two_fields_of_one_name_have_their_whole_names() -> None:
    """`norm.eps` beside `optim.eps`."""
    cells = field_cells(["norm.eps", "optim.eps", "norm.affine"], {"norm.eps": 0.1})

    assert [*cells] == ["norm.eps", "optim.eps", "affine"]

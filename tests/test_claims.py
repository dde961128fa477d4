"""`normexp claims`: what is typed and read, from an empty store and from what is there."""

import re
from pathlib import Path

import pytest
from conftest import AsJson, Command

import normexp as package
from normexp.claims.check import CLAIMS, SETTLED, Judged, Verdicts
from normexp.claims.criteria import Cell, verdict
from normexp.cli import insight as cli
from normexp.console.compare import print_verdicts
from normexp.insight.comparison import compare_paired

BY_ID = {claim.id: claim for claim in CLAIMS}


def test_the_list_runs_nothing(normexp: Command, as_json: AsJson, tmp_path: Path) -> None:
    """Claims, criteria and expectations, of sources and ids in any case, and no store."""
    result = normexp("claims", "--list")
    data = as_json("claims", "S2", "--list")
    some = as_json("claims", "s1.3", "S0.2", "S0.1", "--list")

    assert result.exit_code == 0
    assert all(i in result.stdout for i in [*(c.id for c in CLAIMS), *(s.id for s in SETTLED)])
    assert "identities, proved by tests and not counted" in result.stdout
    assert [each["id"] for each in data["claims"]] == [f"S2.{n}" for n in range(5, 10)]
    assert [each["id"] for each in data["settled"]] == [f"S2.{n}" for n in (1, 2, 3, 4, 10)]
    assert all(each["criterion"] for each in data["claims"])
    assert [each["id"] for each in some["claims"]] == ["S0.1", "S1.3"]
    assert [each["id"] for each in some["settled"]] == ["S0.2"]
    assert list(tmp_path.iterdir()) == []


def test_a_table_from_an_empty_store_and_then_from_what_is_there(
    normexp: Command, as_json: AsJson, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Verdict, effect with interval and n in 80 columns; the next calls write nothing.

    One claim shows its criterion in words, and all its runs by id as data.
    """
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("normexp.claims.check.CLAIMS", (BY_ID["S0.4"], BY_ID["S3.4"]))
    asked = ("claims", "S0", "S2.4", "S4.6", "S4.9", "--dir", "store")  # a source: a table
    first = normexp(*asked)
    assert "convention" in first.stderr
    before = {path: path.stat().st_mtime_ns for path in Path("store").rglob("*")}
    second = normexp(*asked)
    after = {path: path.stat().st_mtime_ns for path in Path("store").rglob("*")}
    lines = second.stdout.splitlines()
    row = next(line for line in lines if line.startswith(" S0.4"))
    excess = package.read("store/momentum_convention").pivot_table(
        "excess_loss", "seed", "norm.momentum"
    )

    assert first.exit_code == second.exit_code == 0, first.stderr
    assert "undecided" in row or "fails" in row  # its interval ends near 0
    assert " 48 " in row
    assert f"{(excess[0.99] - excess[0.01]).mean():.3f} [" in second.stdout
    assert re.search(r"1 claim judged by runs: (undecided|fails) 1", second.stdout)
    assert "S4.6 the hand-written norms are what PyTorch's modules compute → holds only if" in (
        second.stdout
    )
    assert "S4.9 batch norm reduces internal covariate shift → the source" in second.stdout
    assert "a convention: 144 runs in store/momentum_convention" in second.stdout
    assert max(len(line) for line in lines if "→" not in line) <= 80
    assert "study convention" not in second.stderr
    assert after == before
    data, one = as_json("claims", "S0.4", "--dir", "store"), normexp("claims", "S0.4", *asked[5:])
    (cell,) = data["claims"][0]["cells"]
    assert BY_ID["S0.4"].criterion in " ".join(one.stdout.split())
    assert len(cell["run_ids"]) == 96
    assert cell["comparison"]["estimate"] == pytest.approx((excess[0.99] - excess[0.01]).mean())
    assert data["claims"][0]["as_expected"]
    assert data["studies"]["convention"]["runs"] == 144


def test_a_failed_run_is_exit_code_1(normexp: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table is printed all the same; what is missing is undecided."""
    monkeypatch.setattr(cli, "_sweep", lambda _name, _overrides: ["abc"])
    result = normexp("claims", "S0.4")

    assert result.exit_code == 1
    assert "undecided" in result.stdout


def test_the_table_says_how_many_pairs_of_any_cell_and_what_is_left_out(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The range of n over the cells that count, and their notes."""
    monkeypatch.setenv("COLUMNS", "80")
    few, many = (compare_paired(range(1, n + 1), range(2, n + 2)) for n in (8, 16))
    cells = (
        Cell("here", holds=None, comparison=compare_paired([], []), note="nothing", posed=False),
        Cell("there", holds=True, comparison=many),
        Cell("elsewhere", holds=True, comparison=few, note="8 seeds left out"),
    )
    found = Judged(BY_ID["S1.3"], verdict(cells), cells)
    verdicts = Verdicts((found,), (), {name: (name, 1) for name in found.claim.studies}, (), ())
    print_verdicts(verdicts, details=False)
    table = capsys.readouterr().out
    print_verdicts(verdicts, details=True)
    one = capsys.readouterr().out

    assert next(line for line in table.splitlines() if line.startswith(" S1.3")).split()[-2:] == [
        "8–16", "ab"]  # fmt: skip
    assert "→ not posed: here: nothing" in table
    assert "→ elsewhere: 8 seeds left out" in table
    assert max(map(len, table.splitlines())) <= 80
    assert "not posed: here: nothing" in one

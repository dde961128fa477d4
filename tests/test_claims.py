"""`normexp claims`: what is typed and read, from an empty store and from what is there."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

import normexp as package
from normexp.analysis.comparison import compare_paired
from normexp.claims.check import CLAIMS, Finding, Report, select
from normexp.claims.claim import REVISED, Cell, verdict
from normexp.cli import claims as cli
from normexp.console.claims import print_report

AsJson = Callable[..., Any]
Command = Callable[..., Result]

BY_ID = {claim.id: claim for claim in CLAIMS}


def test_sources_and_ids_select_claims() -> None:
    """In any case, in the order of the sources."""
    assert [claim.id for claim in select(["s1.3", "S0.2"])] == ["S0.2", "S1.3"]
    assert {claim.source for claim in select(["S2"])} == {"S2"}
    assert len(select([])) == len(CLAIMS)


@pytest.mark.parametrize("name", ["S9", "S1.99", "momentum"])
def test_an_unknown_claim_is_a_usage_error(normexp: Command, name: str) -> None:
    """With what there is."""
    result = normexp("claims", name)

    assert result.exit_code == 2
    assert f"no claim {name!r}; there is S0.1 to S4.9" in result.stderr
    assert "hint: " in result.stderr


def test_the_list_runs_nothing(normexp: Command, as_json: AsJson, tmp_path: Path) -> None:
    """Claims, criteria and expectations, and no store."""
    result = normexp("claims", "--list")
    data = as_json("claims", "S2", "--list")

    assert result.exit_code == 0
    assert all(claim.id in result.stdout for claim in CLAIMS)
    assert result.stdout.count(REVISED) == sum(bool(claim.revised) for claim in CLAIMS) > 0
    assert [each["id"] for each in data] == [f"S2.{n}" for n in range(1, 11)]
    assert all(each["criterion"] for each in data)
    assert list(tmp_path.iterdir()) == []


def test_a_table_from_an_empty_store_and_then_from_what_is_there(
    normexp: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Verdict, effect with interval and n in 80 columns; the second call writes nothing."""
    monkeypatch.setenv("COLUMNS", "80")
    asked = ("claims", "S0.4", "S2.4", "S4.6", "S4.9", "S4", "--dir", "store")
    monkeypatch.setattr("normexp.claims.check.CLAIMS", tuple(
        claim for claim in CLAIMS if not set(claim.studies) - {"convention"}))  # fmt: skip
    first = normexp(*asked)
    before = {path: path.stat().st_mtime_ns for path in Path("store").rglob("*")}
    second = normexp(*asked)
    after = {path: path.stat().st_mtime_ns for path in Path("store").rglob("*")}
    row = next(line for line in first.stdout.splitlines() if line.startswith("S0.4"))
    excess = package.read("store/momentum_convention").pivot_table(
        "excess_loss", "seed", "norm.momentum"
    )

    assert first.exit_code == second.exit_code == 0, first.stderr
    assert "undecided" in row or "fails" in row  # its interval ends near 0
    assert " 48 " in row
    assert f"{(excess[0.99] - excess[0.01]).mean():.3f} [" in first.stdout
    assert "not checkable: S4.9" in first.stdout
    assert f"{REVISED}: S0.4" in " ".join(first.stdout.split())
    assert "a convention: 144 runs in store/momentum_convention" in first.stdout
    assert max(len(line) for line in first.stdout.splitlines() if "not checkable" not in line) <= 80
    assert "study convention" in first.stderr
    assert second.stdout == first.stdout
    assert "study convention" not in second.stderr
    assert after == before


def test_one_claim_shows_its_criterion_and_all_its_runs(normexp: Command, as_json: AsJson) -> None:
    """In words on the terminal, by id as data; the ids are those of pandas."""
    data = as_json("claims", "S0.4")
    result = normexp("claims", "S0.4")
    (claim,) = data["claims"]
    (cell,) = claim["cells"]
    rows = package.read("runs/momentum_convention")
    wanted = rows[rows["norm.momentum"].isin([0.01, 0.99])]
    loss = wanted.pivot_table("excess_loss", "seed", "norm.momentum")

    assert BY_ID["S0.4"].criterion in " ".join(result.stdout.split())
    assert set(cell["run_ids"]) == set(wanted["run_id"])
    assert cell["comparison"]["estimate"] == pytest.approx((loss[0.99] - loss[0.01]).mean())
    surely_worse = cell["comparison"]["low"] > 0
    assert claim["verdict"] == ("fails" if surely_worse else "undecided")
    assert claim["as_expected"]
    assert data["studies"]["convention"]["runs"] == 144


COMPUTED = sorted(c.id for c in CLAIMS if c.judge and not c.studies and c.id != "S3.4")


def test_what_is_computed_needs_no_store(as_json: AsJson, tmp_path: Path) -> None:
    """Arithmetic and PyTorch alone; verdicts as the sources' errors have them."""
    found = as_json("claims", *COMPUTED)["claims"]

    assert {c["id"]: c["verdict"] for c in found} == {
        claim: BY_ID[claim].expected for claim in COMPUTED
    }
    assert len(found) >= 14
    assert list(tmp_path.iterdir()) == []


def test_a_failed_run_is_exit_code_1(normexp: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table is printed all the same; what is missing is undecided."""
    monkeypatch.setattr(cli, "_sweeper", lambda: lambda _name, _overrides: ["abc"])
    result = normexp("claims", "S0.4")

    assert result.exit_code == 1
    assert "undecided" in result.stdout


def finding(claim: str, *cells: Cell) -> Finding:
    """A claim with these cells."""
    return Finding(BY_ID[claim], verdict(cells), cells)


def test_the_table_says_how_many_pairs_of_any_cell_what_is_lost_and_what_is_revised(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The range of n over the cells that count, their notes, and one line on criteria."""
    monkeypatch.setenv("COLUMNS", "80")
    few, many = (compare_paired(range(1, n + 1), range(2, n + 2)) for n in (8, 16))
    found = finding(
        "S1.3",
        Cell("here", holds=None, comparison=compare_paired([], []), note="nothing", posed=False),
        Cell("there", holds=True, comparison=many),
        Cell("elsewhere", holds=True, comparison=few, note="8 pairs lost"),
    )
    report = Report((found,), {name: (name, 1) for name in found.claim.studies}, (), ())
    print_report(report, details=False)
    table = capsys.readouterr().out
    print_report(report, details=True)
    one = capsys.readouterr().out

    assert next(line for line in table.splitlines() if line.startswith("S1.3")).split()[-2:] == [
        "8–16", "ab"]  # fmt: skip
    assert "→ not posed: here: nothing" in table
    assert "→ elsewhere: 8 pairs lost" in table
    assert f"{REVISED}: S1.3" in table
    assert max(map(len, table.splitlines())) <= 80
    assert "not posed: here: nothing" in one
    assert f"of the criterion: {REVISED}"[:60] in one

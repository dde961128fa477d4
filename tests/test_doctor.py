"""`normexp doctor`: what it examines, and that it finds what is wrong."""

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import Command
from typer.testing import Result

CHECKS = ["packages", "configs", "store", "torch", "same bits"]


def failures(result: Result) -> list[str]:
    """The lines of checks that failed."""
    return [line for line in result.stdout.splitlines() if line.startswith("FAILED")]


def test_a_sound_installation_is_ok_in_eighty_columns(
    normexp: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment, then a line a check, or all of it as data; nothing is left here."""
    monkeypatch.setenv("COLUMNS", "80")
    result = normexp("doctor")
    lines = result.stdout.splitlines()

    assert result.exit_code == 0, result.stdout
    assert [line.removeprefix("ok      ")[:10].strip() for line in lines[-5:]] == CHECKS
    assert all(line.startswith("ok ") for line in lines[-5:])
    assert max(map(len, lines)) <= 80
    assert "MKL_CBWR AVX2,STRICT" in result.stdout
    assert list(Path().iterdir()) == []

    monkeypatch.setattr("normexp.trust.doctor.same_bits", lambda: "left out")
    answer = json.loads(normexp("doctor", "--json").stdout)
    assert answer["ok"] is True
    assert [check["name"] for check in answer["checks"]] == CHECKS
    assert all(check["ok"] and check["advice"] is None for check in answer["checks"])
    assert answer["environment"]["torch_threads"] == 1
    assert len(answer["environment"]["code"]) == 12


def test_what_is_wrong_is_found_and_the_rest_still_examined(
    normexp: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A package too old, one missing, a file in the store's place: exit code 4."""
    needs = ["numpy>=99", "nosuchpackage", "torch", "nosuchtool; extra == 'dev'"]
    monkeypatch.setattr("importlib.metadata.requires", lambda _: needs)
    Path("runs").write_text("in the way")
    result = normexp("doctor")
    packages, store = failures(result)

    assert result.exit_code == 4
    assert "nosuchpackage missing" in packages
    assert "type pip install 'numpy>=99' 'nosuchpackage'" in packages
    assert "nosuchtool" not in packages
    assert "cannot write in runs: Not a directory; type --dir DIR" in store
    assert result.stdout.count("\nok ") == 3
    assert "2 of 5 checks failed: packages, store" in result.stderr


def test_numbers_that_come_out_otherwise_are_found(
    normexp: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loss that is another after every training, unseen by the configuration."""
    from normexp.engine import train

    times = iter(range(1000))
    original = train.train

    def drifting(*given: Any) -> Any:  # noqa: ANN401
        record = original(*given)
        record.train_loss.fill_(next(times))
        return record

    monkeypatch.setattr(train, "train", drifting)
    result = normexp("doctor", "--json")

    assert result.exit_code == 4
    assert '"ok": false' in result.stdout
    assert "checks failed: same bits" in result.stderr


def test_a_broken_config_is_found(normexp: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any one of them, whatever it raises; no traceback."""
    import shutil

    from normexp.config.schema import packaged_configs

    configs = shutil.copytree(packaged_configs(), Path("configs"))
    (configs / "norm/rms.yaml").write_text("kind: rms\neps: many\n")
    monkeypatch.setattr("normexp.study.compose.packaged_configs", configs.absolute)
    monkeypatch.setattr("normexp.trust.doctor.same_bits", lambda: "left out")
    result = normexp("doctor")

    assert result.exit_code == 4
    assert [line[:15] for line in failures(result)] == ["FAILED  configs"]
    assert "norm.eps" in failures(result)[0]

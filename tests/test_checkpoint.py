"""Checkpoints: every usual way to keep a state dict, and no code run for any."""

import argparse
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from typer.testing import Result

import normexp as package

Normexp = Callable[..., Result]


def faulty() -> dict[str, torch.Tensor]:
    """The state of a batch norm whose statistics were lost."""
    norm = nn.Sequential(nn.Linear(3, 3, bias=False), nn.BatchNorm1d(3))
    norm[1].bias.data = torch.tensor([0.1, 0.2, 0.3])
    return norm.state_dict()


WAYS: dict[str, Callable[[dict[str, torch.Tensor]], Mapping[str, object]]] = {
    "bare": lambda state: state,
    "state_dict": lambda state: {"state_dict": state, "epoch": 3},
    "model": lambda state: {"model": state, "optimizer": {"state": {0: {"step": 3}}}},
    "model_state_dict": lambda state: {"model_state_dict": state},
    "ema": lambda state: {"ema": {"module": state}, "args": {"lr": 0.1}},
    "a list": lambda state: {"models": [state], "step": 3},
    "data parallel": lambda state: {f"module.{name}": value for name, value in state.items()},
    "compiled": lambda state: {f"_orig_mod.{name}": value for name, value in state.items()},
}


@pytest.mark.parametrize("way", WAYS)
def test_a_state_dict_is_found(way: str) -> None:
    """Under any keys; they are no part of a layer's name."""
    torch.save(WAYS[way](faulty()), "kept.pth")
    report = package.lint("kept.pth")

    assert [(each.rule, each.layer) for each in report.faults] == [("untouched", "1")]


def test_two_state_dicts_of_one_file_keep_their_keys() -> None:
    """A generator and a discriminator, or a model and its average."""
    torch.save({"model": faulty(), "ema": faulty()}, "both.pt")

    assert [each.layer for each in package.lint("both.pt").faults] == ["model.1", "ema.1"]


def test_safetensors_and_old_files_are_read() -> None:
    """Those of PyTorch before 1.6 are no zip files."""
    save_file(faulty(), "kept.safetensors")
    torch.save(faulty(), "old.pth", _use_new_zipfile_serialization=False)

    for name in ("kept.safetensors", "old.pth"):
        assert [each.layer for each in package.lint(name).faults] == ["1"]


class Trap:
    """Leaves a file behind when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, ("sprung",)


def claim(path: str) -> None:
    """A small file that claims to hold ten thousand million numbers."""
    wide = torch.zeros(1).expand(10**10)
    torch.save({"bn.running_mean": wide, "bn.running_var": wide}, path)


REFUSED: dict[str, tuple[Callable[[str], object], str]] = {
    "a module": (lambda path: torch.save(nn.BatchNorm1d(3), path), "needs code to be read"),
    "arguments": (
        lambda path: torch.save({"a": argparse.Namespace(), "model": faulty()}, path),
        "needs code to be read (argparse.Namespace), and none is run",
    ),
    "a trap": (lambda path: torch.save({"a": Trap(), **faulty()}, path), "needs code to be read"),
    "a program": (
        lambda path: torch.jit.script(nn.BatchNorm1d(3)).save(path),  # type: ignore[no-untyped-call]
        "TorchScript program",
    ),
    "no tensors": (lambda path: torch.save({"epoch": 3}, path), "holds no tensors by name"),
    "noise": (lambda path: Path(path).write_bytes(b"noise"), "cannot be read as a checkpoint"),
    "a number": (
        lambda path: Path(path).write_bytes(b"\x80\x02h\x65."),
        "cannot be read as a checkpoint: KeyError: 101",
    ),
    "nothing": (lambda path: Path(path).write_bytes(b""), "cannot be read as a checkpoint"),
    "no file": (lambda _: None, "is not there"),
    "a directory": (lambda path: Path(path).mkdir(), "is not a file"),
    "a pipe": (os.mkfifo, "is not a file"),
    "a claim": (claim, "has no plain numbers"),
    "sizes that differ": (
        lambda path: torch.save(faulty() | {"1.running_var": torch.ones(4)}, path),
        "1 has a running mean and variance of different sizes",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.filterwarnings(
    "ignore:.*TorchScript:UserWarning", "ignore:.*torch.jit:DeprecationWarning"
)
def test_what_cannot_be_read_is_refused(case: str, normexp: Normexp) -> None:
    """One line that says why, exit code 2, and no code of the file has run."""
    write, message = REFUSED[case]
    write("given.pt")
    result = normexp("lint", "given.pt")

    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert not Path("sprung").exists()


def test_a_damaged_safetensors_file_is_refused(normexp: Normexp) -> None:
    """As any other."""
    Path("given.safetensors").write_bytes(b"\xff" * 100)

    assert normexp("lint", "given.safetensors").exit_code == 2


def test_a_checkpoint_without_batch_norm_has_no_fault(normexp: Normexp) -> None:
    """That is no fault of the file."""
    torch.save(nn.Linear(3, 3).state_dict(), "linear.pt")
    result = normexp("lint", "linear.pt")

    assert result.exit_code == 0
    assert "linear.pt: no batch norm" in result.stdout

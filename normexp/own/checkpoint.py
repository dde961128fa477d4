"""State dicts of a checkpoint file, read without running anything that it holds."""

import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file

from normexp.errors import UsageError, describe

State = dict[str, torch.Tensor]
"""Tensors by name, as of `Module.state_dict`."""

DEEPEST = 6
"""Mappings in mappings that are looked into."""

PLAIN = "save the tensors alone: torch.save(model.state_dict(), FILE)"


def load(path: Path) -> dict[str, State]:
    """Return the state dicts of a checkpoint by the keys that lead to them, `""` for a bare one.

    Args:
        path: `.safetensors`, or any other name for what `torch.save` writes: a state dict, or
            mappings that hold some, as under `state_dict`, `model` or `ema`.

    Raises:
        UsageError: it is no such file, needs code to be read, or holds no tensors by name.
    """
    if not path.is_file():
        raise UsageError(
            f"{path} is {'not a file' if path.exists() else 'not there'}",
            "type the path of a .pt, .pth or .safetensors file",
        )
    try:
        content = load_file(path) if path.suffix == ".safetensors" else _load_torch(path)
    except Exception as error:  # a damaged file raises whatever its bytes say
        raise _refusal(path, error) from error
    states = dict(_states(content, (), set()))
    if not states:
        raise UsageError(f"{path} holds no tensors by name", PLAIN)
    return states


def _load_torch(path: Path) -> object:
    """The content of a file; of large ones only what is looked at comes into memory."""
    mapped = zipfile.is_zipfile(path)  # files from before torch 1.6 are none
    return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)


def _refusal(path: Path, error: Exception) -> UsageError:
    text = str(error)
    if "TorchScript" in text:
        return UsageError(f"{path} is a TorchScript program, which is code", PLAIN)
    if needed := re.search(r"GLOBAL ([\w.]+)", text):
        return UsageError(f"{path} needs code to be read ({needed[1]}), and none is run", PLAIN)
    return UsageError(f"{path} cannot be read as a checkpoint: {describe(error)[:200]}", PLAIN)


def _states(content: object, keys: tuple[str, ...], seen: set[int]) -> Iterator[tuple[str, State]]:
    """Yield the tensors of every mapping once, however they refer to one another."""
    if isinstance(content, (list, tuple)):
        content = {str(place): each for place, each in enumerate(content)}
    if not isinstance(content, Mapping) or id(content) in seen or len(keys) > DEEPEST:
        return
    seen.add(id(content))
    names = {name: value for name, value in content.items() if isinstance(name, str)}
    tensors = {name: value for name, value in names.items() if isinstance(value, torch.Tensor)}
    if tensors:
        yield ".".join(keys), tensors
    for name, value in names.items():
        yield from _states(value, (*keys, name), seen)

"""Checkpoints: what a training needs to go on from an evaluation point, one file a network.

A line of JSON that says what the rest is, and the rest, tensors in safetensors' format.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from normexp.record import TENSORS, Kept, Record
from normexp.store.files import write_file


def write_checkpoint(path: Path, kept: Kept, made_by: Mapping[str, Any]) -> None:
    """Store what one network needs, in the place of an older checkpoint.

    Args:
        path: of the checkpoint.
        kept: of one network.
        made_by: what its bits depend on beside the configuration; only the same may go on from it.
    """
    record = kept.record
    tensors = {f"record/{name}": getattr(record, name) for name in TENSORS}
    tensors |= {f"references/{name}": values for name, values in record.references.items()}
    tensors |= {f"weights/{name}": values for name, values in record.weights.items()}
    tensors |= {f"memory/{name}": values for name, values in kept.memory.items()}
    content = save({name: values.contiguous() for name, values in tensors.items()})
    head = {"sites": record.sites, **_head(content, made_by)}
    write_file(path, json.dumps(head).encode() + b"\n" + content)


def read_checkpoint(path: Path, made_by: Mapping[str, Any]) -> Kept | None:
    """What was kept; None if there is nothing, or nothing that may go on here."""
    try:
        line, _, content = path.read_bytes().partition(b"\n")
        head = json.loads(line)
        sites = head.pop("sites")
        tensors = load(content) if head == _head(content, made_by) else {}
    except (OSError, ValueError, KeyError, SafetensorError):
        return None
    return _kept(sites, tensors) if tensors else None


def _head(content: bytes, made_by: Mapping[str, Any]) -> dict[str, Any]:
    return {"sha256": hashlib.sha256(content).hexdigest(), "made_by": dict(made_by)}


def _kept(sites: dict[str, int], tensors: Mapping[str, torch.Tensor]) -> Kept:
    parts: dict[str, dict[str, torch.Tensor]] = {"memory": {}}
    for name, values in tensors.items():
        part, _, rest = name.partition("/")
        parts.setdefault(part, {})[rest] = values
    own = parts["record"]
    record = Record(
        sites=sites,
        references=parts["references"],
        weights=parts["weights"],
        **own,
    )
    return Kept(record, parts["memory"])

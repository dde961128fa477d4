"""Checkpoints: what a training needs to go on from an evaluation point, one file a network.

A line with a digest of the rest, a line of JSON, and tensors in safetensors' format.
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
from normexp.store.regular import require_regular


def write_checkpoint(path: Path, trajectory: str, kept: Kept, made_by: Mapping[str, Any]) -> None:
    """Store what one network needs, in the place of an older checkpoint.

    Args:
        path: of the checkpoint.
        trajectory: the id of what is trained; only the same may go on from it.
        kept: of one network.
        made_by: what its bits depend on beside the configuration; only the same may go on from it.
    """
    record = kept.record
    tensors = {f"record/{name}": getattr(record, name) for name in TENSORS}
    tensors |= {f"references/{name}": values for name, values in record.references.items()}
    tensors |= {f"weights/{name}": values for name, values in record.weights.items()}
    tensors |= {f"memory/{name}": values for name, values in kept.memory.items()}
    content = save({name: values.contiguous() for name, values in tensors.items()})
    about = {"trajectory_id": trajectory, "sites": record.sites, "made_by": dict(made_by)}
    head = json.dumps(about).encode()
    digest = hashlib.sha256(head + content).hexdigest().encode()
    write_file(path, b"\n".join((digest, head, content)))


def read_checkpoint(path: Path, trajectory: str, made_by: Mapping[str, Any]) -> Kept | None:
    """Return what was kept; None if there is nothing, or nothing that may go on here.

    One that does not say whose it is, as they once were, may not: its training begins again.
    """
    try:
        require_regular(path)
        digest, head, content = path.read_bytes().split(b"\n", 2)
        if hashlib.sha256(head + content).hexdigest().encode() != digest:
            return None
        about = json.loads(head)
        if about["trajectory_id"] != trajectory:
            return None
        if about["made_by"] != json.loads(json.dumps(dict(made_by))):
            return None
        return _kept(about["sites"], load(content))
    except (OSError, ValueError, KeyError, TypeError, SafetensorError):
        return None


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

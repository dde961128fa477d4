"""The stored runs that are most like one that is not stored."""

import heapq
from pathlib import Path
from typing import Any

from normexp.errors import NormexpError
from normexp.store.files import read_manifest
from normexp.store.layout import StudyDirectory, studies
from normexp.study.run import Run
from normexp.trust.differences import differences, distance, naming

MOST = 3
"""Runs that are named."""

Report = dict[str, Any]


def nearest(run: Run, directory: StudyDirectory) -> list[Report]:
    """The stored runs that differ in the fewest fields, those of the same study first."""
    wanted = naming(run.flat)
    known = []
    for study in studies(directory.path.parent):
        for path in study.runs().values():
            try:
                config = naming(read_manifest(path)["config"])
            except (NormexpError, KeyError, TypeError, AttributeError):
                continue
            foreign = study.path.name != directory.path.name
            known.append((distance(wanted, config), foreign, str(path)))
    return [_neighbour(wanted, Path(path)) for *_, path in heapq.nsmallest(MOST, known)]


def _neighbour(wanted: dict[str, Any], path: Path) -> Report:
    """A stored run beside the wanted one: `left` is wanted, `right` is stored."""
    manifest = read_manifest(path)
    return {
        "run_id": manifest["run_id"],
        "label": manifest.get("label", path.name),
        "study": path.parent.name,
        "differences": differences(wanted, naming(manifest["config"])),
    }

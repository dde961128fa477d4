"""A certificate as a person reads it."""

import math
from typing import Any

from normexp.config.field import spell
from normexp.console.changes import print_changes
from normexp.console.columns import table_of
from normexp.console.streams import stdout
from normexp.console.words import counted, duration
from normexp.trust.certificate import Certificate

MEANINGS = {
    "identical": "every file is equal to the bit",
    "agrees": "what does not depend on the platform agrees",
    "differs": "the recorded numbers are not what the recorded configuration gives",
}

SECTIONS = {"config": "field", "metrics": "final metric"}
"""The parts of a manifest that are compared, and what their entries are."""


def print_certificate(certificate: Certificate) -> None:
    """The verdict, what it rests on, and the certificate's file on the last line."""
    console, content = stdout(), certificate.content
    verdict = content["verdict"]
    console.print(f"{content['label']}  {content['run_id']}  {verdict}", style="bold")
    console.print(f"{verdict}: {MEANINGS[verdict]}", soft_wrap=True)
    files = content["files"]
    same = sum(file["recorded"] == file["found"] for file in files.values())
    console.print(
        f"{same} of {counted(len(files), 'file')} identical · trained alone in "
        f"{duration(content['seconds'])}"
    )
    print_changes(content["environment"]["changed"], content["environment"]["unknown"])
    for name, file in files.items():
        if None in file.values():
            side = "made again" if file["found"] is None else "recorded"
            console.print(f"{name} is not among the files {side}", soft_wrap=True)
        elif file["recorded"] != file["found"] and _table(name) not in content["deviations"]:
            console.print(f"{name} has other bytes", soft_wrap=True)
    for name, (old, new) in content["results"].items():
        if name not in SECTIONS:
            console.print(f"{name}: recorded {spell(old)}, found {spell(new)}", soft_wrap=True)
    _print_results(content)
    _print_deviations(content)
    console.print(str(certificate.path), soft_wrap=True)


def _print_results(content: dict[str, Any]) -> None:
    """The parts of the manifests that differ: fields and final metrics."""
    for section, title in SECTIONS.items():
        old, new = content["results"].get(section, ({}, {}))
        names = [name for name in dict.fromkeys([*old, *new]) if old.get(name) != new.get(name)]
        if names:
            table = table_of(title, right=("recorded", "found"))
            for name in names:
                table.add_row(name, spell(old.get(name)), spell(new.get(name)))
            stdout().print(table)


def _table(file: str) -> str:
    return file.removesuffix(".parquet")


def _print_deviations(content: dict[str, Any]) -> None:
    judged, limits = content["judged_until"], content["tolerances"]
    if not content["deviations"]:
        return
    right = ("first at step", "largest", *(("early", "allowed") if judged else ()))
    table = table_of("table", "column", right=right)
    for name, columns in content["deviations"].items():
        for column, far in columns.items():
            row = [name, column, str(far["first_step"]), _far(far["largest"])]
            if judged:
                row += [_far(far["early"]), f"{limits.get(name, limits['tables']):.0e}"]
            table.add_row(*row)
    stdout().print(table)
    if judged:
        stdout().print(
            f"early: step 0, and batches up to {judged['steps']}, which is judged; what comes "
            "later is chaotic, and counts jump.",
            style="dim",
        )


def _far(deviation: float) -> str:
    return f"{deviation:.1e}" if math.isfinite(deviation) else "infinite"

"""Completion in the shell: overrides, and names in the store; it imports no Hydra."""

import os


def overrides(incomplete: str) -> list[str]:
    """Return the keys, and behind a key the values, that begin so.

    Bash parts words at `=` and wants what stands behind it alone.
    """
    from normexp.config.options import options

    words = os.environ.get("COMP_WORDS", "").split()[: int(os.environ.get("COMP_CWORD", "0")) + 1]
    is_parted = "=" in words[-2:]
    if is_parted:
        key, begun = (words[-2], "") if words[-1] == "=" else (words[-3], words[-1])
        incomplete = f"{key}={begun}"
    found = options()
    values = {f"{group}=": list(kinds) for group, kinds in found.choices.items()}
    for each in found.fields:
        several = ["true", "false"] if each.spec.type is bool else each.spec.choices
        values.setdefault(f"{each.path}=", [*several])
    key, equals, begun = incomplete.rpartition("=")
    if equals:
        before, comma, last = begun.rpartition(",")
        there = [each for each in values.get(f"{key}=", ()) if each.startswith(last)]
        start = f"{before}{comma}" if is_parted else f"{key}={before}{comma}"
        return [f"{start}{each}" for each in there]
    keys = [each for each in values if each.startswith(incomplete)]
    return [f"{keys[0]}{each}" for each in values[keys[0]]] or keys if len(keys) == 1 else keys


def names(incomplete: str) -> list[str]:
    """Return the studies, sweeps and runs of the store in this directory that begin so."""
    from normexp.cli.app import RUNS

    found = [path.parent.name for path in RUNS.glob("*/sweeps")]
    found += [path.name for path in RUNS.glob("*/sweeps/*")]
    found += [path.name.rpartition("-")[2] for path in RUNS.glob("*/*-????????????")]
    return [each for each in found if each.startswith(incomplete)]

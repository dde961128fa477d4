"""Where two runs differ, and why a run is kept or made again."""

from collections.abc import Mapping, Sequence
from math import isnan
from typing import Any

from normexp.config.field import MEANINGS, Role, spell
from normexp.console.output import legend, print_table, say
from normexp.console.sweeps import ROUNDING
from normexp.console.trust import entry, print_changes
from normexp.console.words import METRICS, NOTHING, counted, field_value, number
from normexp.trust.diff import SIDES
from normexp.trust.why import REASONS

Report = Mapping[str, Any]

WORDS = {"left": "first", "right": "second"}
"""The sides of a comparison, as tables have them."""

SHARED = {
    "weights": "same training: the same weights at every step, observed in two ways",
    "seed": "same seed: the same random numbers for data and initial weights",
    "nothing": "no pair: other seeds, other data or layers of other shapes",
}

MOST_LAYERS = 12
"""Layers that are shown; of more, those that are furthest off."""


def print_diff(report: Report) -> None:
    """Print what two runs share, and their differences in fields, results, layers and origin."""
    left = report["left"]
    if report["same_directory"]:
        say(f"the same run: {left['label']}  {left['run_id']}")
        return
    for side, word in WORDS.items():
        run = report[side]
        state = "" if run["status"] == "complete" else f", {run['status']}"
        say(f"{word:6}  {run['label']}  {run['run_id']}  of {run['study']}{state}")
    shared = SHARED[report["shared"]]
    say("the same run, stored twice" if report["same_run"] else shared)
    values = report["values"]
    if rows := report["differences"]:
        sides = [{w: _field(row, s, values[s]) for s, w in WORDS.items()} for row in rows]
        print_table([{"field": r["key"]} | e for r, e in zip(rows, sides, strict=True)])
    _print_results(report)
    _print_layers(report["layers"])
    _print_provenance(report["provenance"])


def print_why(report: Report) -> None:
    """Print why a run is kept or made again, or where it differs from described ones."""
    if report["kind"] == "run":
        _print_run(report)
    elif report["kind"] == "comparison":
        _print_comparison(report)
    else:
        _print_study(report)


def _field(row: Report, side: str, values: Report) -> str:
    return field_value(row["key"], values) if side in row else NOTHING


def _print_results(report: Report) -> None:
    """Print losses to four digits, or that they are equal."""
    rows, steps = report["results"], [report[side]["step"] for side in SIDES]
    at = f"at step {steps[0]:,}" + (f" and {steps[1]:,}" if steps[0] != steps[1] else "")
    if all(row["left"] == row["right"] for row in rows):
        say(f"the same results {at}, to the last digit")
        return
    shown = []
    for each in rows:
        row = each | _without_rounding(each, rows, report["values"])
        cells = {at: METRICS[row["metric"]].replace("\n", " ")}
        cells |= {word: number(row[side]) for side, word in WORDS.items()}
        if report["same_data"]:
            cells |= {"difference": _signed(row["difference"]), "ratio": _ratio(row)}
        shown.append(cells)
    print_table(shown, ("difference", "ratio"))
    if not report["same_data"]:
        legend("losses on different data are not compared")


def _without_rounding(row: Report, rows: Sequence[Report], values: Report) -> dict[str, Any]:
    """An excess that is rounding as 0, and none if there are no running statistics."""
    if row["metric"] != "excess_loss":
        return {}
    losses = next(each for each in rows if each["metric"] == "test_loss_population")
    for side in SIDES:
        if "norm.momentum" not in values[side]:
            return {side: None, "difference": None, "ratio": None}
    return {
        side: 0.0
        for side in SIDES
        if row[side] is not None and abs(row[side]) < ROUNDING * abs(losses[side] or 0.0)
    }


def _signed(value: float | None) -> str:
    return ("+" if value is not None and value > 0 else "") + number(value)


def _ratio(row: Report) -> str:
    """The second over the first, if both are above zero."""
    if row["ratio"] is None or not (row["left"] and row["right"]) or row["ratio"] < 0:
        return NOTHING
    return f"{row['ratio']:.3g}"


def _print_layers(layers: Sequence[Report]) -> None:
    """Print how far the running statistics are off, the layers in their order."""
    if not layers or all(layer.get("left") == layer.get("right") for layer in layers):
        return
    most = sorted(layers, key=_furthest, reverse=True)[:MOST_LAYERS]
    titles = {
        f"{title}\n{word}": (side, name)
        for title, name in (("mean error, σ", "mean_error"), ("ln variance ratio", "log_var_ratio"))
        for side, word in WORDS.items()
    }
    shown = [
        {"layer": layer["layer"]}
        | {t: number(layer.get(side, {}).get(name)) for t, (side, name) in titles.items()}
        for layer in layers
        if layer in most
    ]
    print_table(shown, [*titles][2:])
    if len(shown) < len(layers):
        others = counted(len(layers) - len(shown), "layer").replace(" ", " more ")
        legend(f"… {others}, not as far off: --json")


def _furthest(layer: Report) -> float:
    """The largest error of either run."""
    found = [abs(value) for side in SIDES for value in layer.get(side, {}).values() if value]
    return max((value for value in found if not isnan(value)), default=0.0)


def _print_provenance(rows: Sequence[Report]) -> None:
    if not rows:
        say("made by the same code, versions and machine")
        return
    made = [
        {"made by": row["name"] + " *" * row["deciding"]}
        | {word: entry(row.get(side)) for side, word in WORDS.items()}
        for row in rows
    ]
    print_table(made)
    if any(row["deciding"] for row in rows):
        legend("* numbers may depend on it")


def _print_run(report: Report) -> None:
    made, trajectory = report["made"], report["trajectory"]
    state = "stored and damaged" if report["damaged"] else "stored and whole"
    say(f"{report['label']}  {report['run_id']}  {report['reason']}", style="bold")
    say(f"study {report['study']} · {report['directory']}")
    say(f"{state}; trajectory {spell(trajectory['id'])} {trajectory['state']}")
    for name, what in report["damaged"].items():
        say(f"{name}: {what}")
    if report["damaged"] and not report["noticed"]:
        say("a sweep looks at sizes only: type normexp verify, then it will see this")
    if made:
        known = {name: value for name, value in made.items() if value is not None}
        entries = ", ".join(f"{name} {spell(value)}" for name, value in known.items())
        say(f"made: {entries}")
        print_changes(report["changed"], report["unknown"])
    actions = report["on_code_change"]
    if len(set(actions.values())) == 1:
        say(f"sweep {actions['warn']}")
        return
    print_table([{"sweep --on-code-change=": k, "": does} for k, does in actions.items()])


def _print_comparison(report: Report) -> None:
    for side in SIDES:
        say(f"{side}: {report[side]['label']}  {report[side]['run_id']}")
    if report["described"] > 1:
        say(f"right is the nearest of {counted(report['described'], 'described run')}")
    _print_roles(report["differences"], SIDES)
    verdict = "two structures: they cannot train side by side"
    if report["same_run"]:
        verdict = "the same run"
    elif report["same_trajectory"]:
        verdict = "two runs of the same trajectory: trained once, observed twice"
    elif report["same_structure"]:
        verdict = "two trajectories of the same structure: they can train side by side"
    say(verdict)


def _print_roles(rows: Sequence[Report], titles: Sequence[str]) -> None:
    """Print the fields that differ, and what their roles mean."""
    if not rows:
        return
    sides = dict(zip(SIDES, titles, strict=True))
    cells = [
        {"field": row["key"]}
        | {word: spell(row[side]) if side in row else NOTHING for side, word in sides.items()}
        | {"role": row["role"]}
        for row in rows
    ]
    print_table(cells)
    for role in (role for role in Role if any(row["role"] == role.value for row in rows)):
        legend(f"{role.value}: {MEANINGS[role]}")


def _print_study(report: Report) -> None:
    say(
        f"{report['study']}: {counted(report['runs'], 'run')} in {report['directory']}",
    )
    for note in report["notes"]:
        say(f"note: {note}")
    if not report["details"]:
        rows = [
            {"runs": _first(found), "why": REASONS[reason], "number": f"{found['runs']:,}"}
            for reason, found in report["reasons"].items()
            if found["runs"]
        ]
        print_table(rows)
    for detail in report["details"]:
        say()
        if detail["kind"] == "run":
            _print_run(detail)
        else:
            _print_described(detail)


def _first(found: Report) -> str:
    labels = ", ".join(each["label"] for each in found["first"])
    return f"{labels}, ..." if found["runs"] > len(found["first"]) else labels


def _print_described(detail: Report) -> None:
    trajectory = detail["trajectory"]
    say(f"{detail['label']}  {detail['run_id']}", style="bold")
    say(REASONS[detail["reason"]])
    say(f"trajectory {trajectory['id']} {trajectory['state']}")
    if not detail["nearest"]:
        say("no run is stored that it could be compared with")
    for near in detail["nearest"]:
        others = counted(len(near["differences"]), "other field")
        say(f"near: {near['label']}  {near['run_id']} of {near['study']}, {others}")
        _print_roles(near["differences"], ("wanted", "stored"))

"""Histograms of the layers (S1), and the pictures of one seed an arm that they are drawn from."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from normexp.config.network import Own
from normexp.config.schema import RunConfig
from normexp.console.words import counted, evenly
from normexp.errors import NormexpError, UsageError
from normexp.insight.training import NO_NETWORK
from normexp.report.charts import HIDDEN, SHOWN, category, layer, quantity, tooltips, with_rows
from normexp.report.figure import Drawn, Figure, LeftOut, Spec, epoch_slider, sentences, table
from normexp.report.source import Source, some
from normexp.report.style import ARM, INK, SOFT, TIGHT, percent
from normexp.store.places import find_data
from normexp.store.stored import Row

if TYPE_CHECKING:
    from pathlib import Path

    from normexp.engine.pictures import Histogram, Picture

TITLE = "Histograms of the layers"

MOST_EPOCHS, MOST_LAYERS = 13, 10

MOST_IMAGES = 40_000
"""Images that are passed through networks, over arms and epochs."""

FOREVER = 1e9
"""An epoch that none reaches."""

VALID = "datum.from <= epoch && epoch < datum.until"
"""A filter: what the slider's epoch shows, see `intervals`."""

KINDS = {"pre_activation": "pre-activations", "activation": "activations"}

LABELLED = (
    "datum.value % 5 === 0 || abs(datum.value) === 1 || abs(datum.value) === 4 ? datum.label : ''"
)
"""Ticks that have a number: 0, the ends of bins for layers, and fives for the input."""

MANY, ALL = 0.1, 0.995
"""Shares of values beyond the bins that are said, and that are all."""

SATURATED = "activations beyond ±0.8"
FULLEST, OUTSIDE = "pre-activations in the fullest bin", "pre-activations outside the bins"


class Pictured(NamedTuple):
    """Pictures of runs.

    Attributes:
        pictures: by arm and epoch.
        rows: by arm.
        points: evaluation points of the longest run, drawn or not.
        lost: arms that have none, by the reason.
    """

    pictures: "dict[str, dict[int, Picture]]"
    rows: dict[str, Row]
    points: int
    lost: dict[str, list[str]]

    @property
    def epochs(self) -> list[int]:
        """All epochs that are drawn."""
        return sorted({epoch for each in self.pictures.values() for epoch in each})

    @property
    def note(self) -> str:
        """Sentences on the seeds, on arms without a picture, and on epochs that are left out."""
        seeds = [self.rows[arm]["seed"] for arm in self.pictures]
        common = max(seeds, key=seeds.count)
        others, epochs = len(seeds) - seeds.count(common), len(self.epochs)
        return sentences(
            f"Drawn is seed {common}, nearest to the arms' medians by rank of final test loss"
            + (f"; of {counted(others, 'arm')} without it: another seed." if others else "."),
            *(f"Without {', '.join(arms)}: {why}." for why, arms in self.lost.items()),
            f"{epochs} of {self.points} evaluation points are drawn, evenly."
            if epochs < self.points else "",
        )  # fmt: skip


def pictured(
    source: Source, arms: Iterable[str], most: int = MOST_EPOCHS, *, curves_only: bool = False
) -> Pictured:
    """Pictures of arms, each of one seed, at up to `most` evaluation points."""
    rows = typical(source, arms)
    runs = dict(zip(rows, source.stored(rows.values()), strict=True))
    data = find_data([run.config.data for run in runs.values()], source.places)
    lost: dict[str, list[str]] = {}
    sharing: dict[Path, dict[str, RunConfig]] = {}
    for arm, run in runs.items():
        found = data[run.config.data]
        if not run.trajectory.is_dir():
            lost.setdefault("its training is no longer in the store", []).append(arm)
        elif isinstance(run.config.model, Own):
            lost.setdefault(NO_NETWORK, []).append(arm)
        elif isinstance(found, UsageError):
            lost.setdefault(found.message, []).append(arm)
        else:
            config = replace(run.config, data=found)
            sharing.setdefault(run.trajectory, {})[arm] = config
    made: dict[str, dict[int, Picture]] = {}
    for place, members in sharing.items():
        try:
            made |= _of_training(place, members, most, len(rows), curves_only=curves_only)
        except NormexpError as error:
            lost.setdefault(error.message, []).extend(members)
    points = max((run.config.train.epochs + 1 for run in runs.values()), default=0)
    return Pictured({arm: made[arm] for arm in rows if arm in made}, rows, points, lost)


def typical(source: Source, arms: Iterable[str]) -> dict[str, Row]:
    """One run of each arm, all of one seed if there is one: so arms of one training share it.

    The seed is the one whose final test losses have ranks nearest to the arms' medians. An arm
    without that seed has the run nearest to its own median.
    """
    import pandas as pd

    if not source.complete:
        return {}
    frame = pd.DataFrame(source.complete)[["arm", "seed", "test_loss"]]
    frame = frame.assign(row=pd.Series(source.complete))
    frame = frame[frame["arm"].isin(list(arms))].sort_values(["test_loss", "seed"])
    grouped = frame.groupby("arm")["seed"]
    middle = (grouped.transform("size") - 1) // 2
    frame["away"] = (grouped.cumcount() - middle).abs() / grouped.transform("size")
    by_seed = frame.groupby("seed")["away"].agg(["size", "sum"]).reset_index()
    best = by_seed.sort_values(["size", "sum", "seed"], ascending=[False, True, True])["seed"]
    frame["other"] = frame["seed"] != (best.iloc[0] if len(best) else 0)
    chosen = frame.sort_values(["other", "away"]).drop_duplicates("arm").set_index("arm")["row"]
    return {arm: chosen[arm] for arm in source.arms if arm in chosen}


def intervals(epochs: Iterable[int]) -> dict[int, float]:
    """By epoch the one that ends its validity: a slider may stop at other arms' epochs."""
    own = sorted(epochs)
    return dict(zip(own, [*own[1:], FOREVER], strict=True))


def _of_training(
    place: "Path", members: Mapping[str, RunConfig], most: int, arms: int, *, curves_only: bool
) -> "dict[str, dict[int, Picture]]":
    """Pictures of the runs of one training.

    Raises:
        NormexpError: it is damaged.
    """
    from normexp.engine.pictures import pictures
    from normexp.numerics import one_thread
    from normexp.store.tables import read_trajectory

    config = next(iter(members.values()))
    if config.model.kind != "mlp":  # which takes long: the first point and the last one always
        tests = getattr(config.data, "test_size", None) or config.data.train_size or 1
        most = min(most, max(2, MOST_IMAGES // (tests * arms)))
    record = read_trajectory(place)
    with one_thread():
        points = evenly(record.epochs + 1, most)
        made = pictures(record, list(members.values()), points, curves_only=curves_only)
    return dict(zip(members, made, strict=True))


def histograms(source: Source) -> Drawn:
    """Pre-activations and activations over layers, of a network without a norm and the best one."""
    if not source.complete:
        return [LeftOut(TITLE, "no run is complete")]
    arms = _chosen(source)
    found = pictured(source, arms)
    if not found.pictures:
        return [LeftOut(TITLE, "; ".join(found.lost))]
    shares = {
        arm: {site: _shares(each[max(each)], site) for site, _ in each[max(each)].histograms}
        for arm, each in found.pictures.items()
    }
    layers = list(dict.fromkeys(site for each in shares.values() for site in each))
    columns = [(name, arm) for arm, each in shares.items() for name in [*each.values()][-1]]
    kept = some(layers, MOST_LAYERS)
    ends = [
        f"{arm} ({site}) has {', '.join(f'{percent(v)} of its {name}' for name, v in end.items())}"
        for arm, each in shares.items()
        for site, end in [[*each.items()][-1]]
    ]
    return [
        Figure(
            name="histograms",
            title=TITLE,
            sentence=f"In the last layer, after the last epoch, {'; '.join(ends)}.",
            chart=_chart(source, found, kept),
            table=table(
                ("layer", *(f"{name}, {arm}" for name, arm in columns)),
                [(site, *(percent(shares[arm].get(site, {}).get(name)) for name, arm in columns))
                 for site in layers],
            ),
            controls=epoch_slider("epoch", found.epochs),
            note=sentences(
                "Bars: shares of all values over test set and channels, under running statistics; "
                "pre-activations come before the norm.",
                f"{len(arms)} of {len(source.arms)} arms are drawn: the best with a norm by test "
                "loss, and one without a norm or else the worst."
                if len(arms) < len(source.arms) else "",
                found.note,
                f"{len(kept)} of {len(layers)} layers." if len(kept) < len(layers) else "",
            ),
        )
    ]  # fmt: skip


def _chosen(source: Source) -> list[str]:
    """One arm without a norm and the best with one, of like settings; else best and worst."""
    there = {row[ARM] for row in source.complete}
    ranked = sorted(there & {*source.palette.arms} if source.wanted else there, key=source.rank)
    values = {arm: source.values(arm) for arm in ranked}
    rest = [path for path in source.fields if not path.startswith("norm.")]
    without = [arm for arm in ranked if values[arm].get("norm.kind") == "none"]
    with_one = [arm for arm in ranked if arm not in without]
    if not without or not with_one:
        return list(dict.fromkeys([ranked[0], ranked[-1]]))
    best = [values[with_one[0]].get(path) for path in rest]
    like = [arm for arm in without if [values[arm].get(path) for path in rest] == best]
    return [(like or without)[0], with_one[0]]


def _shares(picture: "Picture", site: str) -> dict[str, float]:
    """Shares of a layer's pre-activations in one bin and in none, and of saturated activations."""
    before = picture.histograms[site, "pre_activation"]
    after = picture.histograms[site, "activation"]
    shares = before.counts.numpy() / before.total
    found = {FULLEST: float(shares.max()), OUTSIDE: max(0.0, 1 - float(shares.sum()))}
    if (after.low, after.high) == (-1.0, 1.0):
        found[SATURATED] = float(after.counts[[0, -1]].sum()) / after.total
    return found


def _chart(source: Source, found: Pictured, layers: Sequence[str]) -> Spec:
    """Rows by kind of value and arm, columns by layer."""
    arms = list(found.pictures)
    rows = [
        {ARM: arm, "row": _row(KINDS[values], arm), "kind": KINDS[values], "layer": site,
         "from": epoch, "until": until, "low": each.low,
         "width": (each.high - each.low) / len(each.counts), "bin": list(range(len(each.counts))),
         "share": [float(f"{share:.4g}") for share in each.counts.numpy() / each.total],
         "beyond": _beyond(each)}
        for arm, by_epoch in found.pictures.items()
        for epoch, until in intervals(by_epoch).items()
        for (site, values), each in by_epoch[epoch].histograms.items()
        if site in layers
    ]  # fmt: skip
    across = {"grid": False, "tickCount": 3, "format": "~g", "labelFontSize": 10,
              "labelFlush": True, "labelExpr": LABELLED}  # fmt: skip
    up = {"values": [0, 0.5, 1], "labelExpr": f"100 * datum.value + '{TIGHT}%'",
          "labelFontSize": 10, "labelOverlap": False}  # fmt: skip
    tips = {"arm:N": "arm", "layer:N": "layer", "kind:N": "values", "left": "from", "right": "to",
            "percent:N": "share"}  # fmt: skip
    x = {"title": None, "axis": across, "scale": {"nice": False, "zero": False}}
    y = {"title": None, "axis": up, "scale": {"domain": [0, 1]}}
    encoding = {
        "x": quantity("left", x),
        "x2": {"field": "right"},
        "y": quantity("share", y),
        "y2": {"datum": 0},
        "tooltip": tooltips(tips),
        **source.palette.encode(arms, "color"),
    }
    text: Spec = {"fontSize": 10, "color": SOFT, "lineBreak": "|"}
    first = f"datum.bin === 0 && datum.layer === '{layers[0]}'"
    name = {"x": {"value": -44}, "text": category("row")}
    drawn = [
        layer("bar", encoding, SHOWN, binSpacing=1),
        layer("text", {"text": category("beyond")}, SHOWN, "datum.bin === 0", dy=-14, **text),
        layer("text", name, first, dy=-7, align="right", **{**text, "color": INK, "fontSize": 11}),
    ]
    transform = [
        {"filter": VALID},
        {"flatten": ["bin", "share"]},
        {"calculate": "datum.low + datum.bin * datum.width", "as": "left"},
        {"calculate": "datum.left + datum.width", "as": "right"},
        {"calculate": f"format(100 * datum.share, '.1f') + '{TIGHT}%'", "as": "percent"},
    ]
    head = {"title": None, "labelColor": INK, "labelFontSize": 11}
    order = [_row(words, arm) for words in KINDS.values() for arm in arms]
    return {
        **with_rows(rows),
        "facet": {
            "row": category("row", {"sort": order, "header": {"title": None, "labels": False}}),
            "column": category("layer", {"sort": list(layers), "header": head}),
        },
        "transform": transform,  # in the facets Vega-Lite 6.4 loses the data
        "spec": {"layer": drawn, "width": 68, "height": 64},
        "title": {"text": {"expr": "'epoch ' + epoch"}},
        "bounds": "flush",
        "spacing": {"row": 26, "column": 10},
        "resolve": {"scale": {"x": "independent"}},
        "params": [HIDDEN, {"name": "epoch", "value": found.epochs[-1]}],
    }


def _beyond(histogram: "Histogram") -> str:
    """A word on the values that a panel does not show; empty if they are few."""
    share = 1 - float(histogram.counts.sum()) / histogram.total
    how_many = "all" if share > ALL else percent(share)
    ends = f"{histogram.low:g} … {histogram.high:g}"
    if histogram.low == -histogram.high:
        ends = f"±{histogram.high:g}"
    return f"{how_many} beyond|{ends}" if share >= MANY else ""


def _row(kind: str, arm: str) -> str:
    """A row's name, a line a part."""
    return "|".join([kind, *arm.split(", ")])

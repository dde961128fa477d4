"""Searches: Optuna proposes trials, sweeps train them side by side, and the store has their values.

What is proposed follows from the seed, the trial's number and the batches of trials before it. So a
search that was interrupted goes on as it would have: what it has trained is there.
"""

import hashlib
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from statistics import median
from typing import Any

import optuna
from hydra.core.override_parser.types import Override
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from normexp.config.field import Role, quoted, spell
from normexp.errors import NormexpError, UsageError, pick
from normexp.store.layout import StudyDirectory
from normexp.store.locks import locked
from normexp.store.stored import FINAL, Row
from normexp.study.compose import composer
from normexp.study.run import GROUPS
from normexp.study.study import Study, load
from normexp.sweeps.sweep import study_directory

RECORD = "search.db"
"""The file of a study with the trials of its searches, as Optuna's own tools read it."""

DECADE = 10
"""How far apart the ends of an interval are, at least, that is searched on a logarithmic scale."""


@dataclass(frozen=True)
class _Space:
    """What was asked for.

    Attributes:
        typed: overrides by their keys.
        searched: fields and groups whose values are proposed.
        observed: fields that are read off a trial's trainings.
        probe: the study of all choices, and the ends of intervals.
    """

    typed: Mapping[str, str]
    searched: dict[str, BaseDistribution]
    observed: Sequence[str]
    probe: Study

    def words(self, chosen: Mapping[str, Any]) -> list[str]:
        """What one types for these values: what does not apply to them is left out."""
        groups = {key: spell(value) for key, value in chosen.items() if key in GROUPS}
        bases = (run.base for run in self.probe.runs)
        base = next((each for each in bases if groups.items() <= each.choices.items()), None)
        words = {**self.typed, **{key: f"{key}={quoted(v)}" for key, v in chosen.items()}}
        if "norm.momentum" in chosen:  # stored as PyTorch has it
            words.pop("norm.convention", None)
        return [w for key, w in words.items() if not base or "." not in key or key in base.specs]

    def values(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """What is proposed; of an interval to four digits."""
        return {
            key: float(f"{params[key]:.4g}") if isinstance(of, FloatDistribution) else params[key]
            for key, of in self.searched.items()
        }


def search(  # noqa: PLR0913, PLR0917  the options of a command line
    overrides: Sequence[str],
    sweep: Callable[[Study], Sequence[Row]],
    trials: int = 32,
    parallel: int = 4,
    metric: str = "test_loss",
    seed: int = 0,
    config_dir: Path | None = None,
    filed_as: str | None = None,
) -> dict[str, Any]:
    """Return the trials, the best first, and how to see its runs.

    Args:
        overrides: as of a sweep, with intervals too.
        sweep: makes the runs of a study that are not there, and returns the rows of all.
        trials: how many.
        parallel: proposed and trained at a time.
        metric: of the last evaluation point.
        seed: of the proposals.
        config_dir: see `load`.
        filed_as: the name that the runs are kept under; else the study's with `-search`.

    Raises:
        UsageError: an override that makes no sense, or there is no such metric.
        NormexpError: runs failed, or the record cannot be used.
    """
    pick(metric, dict.fromkeys(FINAL), "--metric")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    space = _space(overrides, config_dir, filed_as)
    probe, directory = space.probe, study_directory(space.probe)
    sign = -1 if "accuracy" in metric else 1

    def value(arm: Sequence[Row]) -> float:
        return median(
            row[metric] if row["status"] == "complete" and row[metric] is not None else sign * inf
            for row in arm
        )

    proposals = optuna.create_study(direction="maximize" if sign < 0 else "minimize")
    known = repr([[run.id for run in probe.runs], space.searched, parallel]).encode()
    name = f"{metric} seed={seed} {hashlib.sha256(known).hexdigest()[:8]}"
    kept = _recorded(directory, name, proposals)
    whole_batches = len(kept) // parallel * parallel
    proposals.add_trials(kept[: trials if len(kept) >= trials else whole_batches])
    for start in range(len(proposals.trials), trials, parallel):
        asked = []
        for number in range(start, min(start + parallel, trials)):
            sampler_seed = (seed * 100_003 + number) % 2**32
            proposals.sampler = optuna.samplers.TPESampler(seed=sampler_seed)
            trial = proposals.ask(space.searched)
            values = space.values(trial.params)
            study = load(space.words(values), config_dir=config_dir, filed_as=probe.name)
            trial.set_user_attr("values", values)
            asked.append((trial, study))
        runs = {run.id: run for _, study in asked for run in study.runs}
        typed = ("search", *space.typed.values())
        whole = replace(probe, axes=(), runs=tuple(runs.values()), notes=(), overrides=typed)
        rows = {row["run_id"]: row for row in sweep(whole)}
        if failed := len(runs) - len(rows):
            raise NormexpError(
                f"{failed} runs of the trials from {start} on failed: they have no value",
                "type the same command again: it makes what is missing",
            )
        for trial, study in asked:
            arms: dict[str, list[Row]] = {}
            for row in (rows[run.id] for run in study.runs):
                if metric not in row:
                    raise UsageError(f"these runs have no {metric}", "type --metric test_loss")
                arms.setdefault(repr([row.get(each) for each in space.observed]), []).append(row)
            best = min(arms.values(), key=lambda arm: sign * value(arm))
            observed = {each: best[0][each] for each in space.observed if each in best[0]}
            trial.set_user_attr("observed", observed)
            proposals.tell(trial, value(best))
        _recorded(directory, name, proposals)
    found = [
        {"trial": each.number, **each.user_attrs, "value": each.value}
        for each in sorted(proposals.trials[:trials], key=lambda each: sign * (each.value or 0))
    ]
    place = ["--config-dir", str(config_dir)] if config_dir else []
    words = space.words({**found[0]["values"], **found[0]["observed"]})
    return {
        "study": probe.name,
        "metric": metric,
        "space": {key: _described(of) for key, of in space.searched.items()},
        "trials": found,
        "command": shlex.join(["normexp", "sweep", *place, *probe.filed, *words]),
        "storage": str(directory.path / RECORD),
    }


def _space(words: Sequence[str], config_dir: Path | None, filed_as: str | None) -> _Space:
    """Intervals, and ranges and lists of what trains, are searched; all else is as in a sweep."""
    with composer(config_dir) as hydra:
        given = {each.key_or_group: each for each in map(hydra.parse, words)}
    probed = [_ends(each) for each in given.values()]
    probe = load(probed, config_dir=config_dir, filed_as=filed_as)
    if filed_as is None:
        probe = replace(probe, name=f"{probe.name}-search")
    specs = [base.specs for base in {id(run.base): run.base for run in probe.runs}.values()]
    searched: dict[str, BaseDistribution] = {}
    observed: list[str] = []
    for axis in probe.axes:
        there = [each[field] for each in specs for field in axis.fields() if field in each]
        roles, override = {spec.rule.role for spec in there}, given.get(axis.key)
        is_interval = override is not None and override.is_interval_sweep()
        if axis.key == "seed" or roles == {Role.OBSERVED}:
            if is_interval:
                raise UsageError(
                    f"{axis.key}: all of a list is tried, an interval is not",
                    f"type {axis.key}=A,B,C",
                )
            observed += [] if axis.key == "seed" else axis.fields()
        elif axis.is_swept:
            if Role.OBSERVED in roles or axis.fields() != [axis.key]:
                raise UsageError(
                    f"{axis.spelled()}: these are no values of one field that trains, or train "
                    "with some of the norms only",
                    f"type one norm, or {axis.key}=VALUE",
                )
            low, high = axis.values[0], axis.values[-1]
            if is_interval and override is not None:
                kind = IntDistribution if all(s.type is int for s in there) else FloatDistribution
                interval: Any = override.value()
                is_log = "log" in interval.tags or 0 < low <= high / DECADE
                searched[axis.key] = kind(low, high, log=is_log)
            elif override is not None and override.is_range_sweep() and isinstance(low, int):
                steps = sorted(axis.values)
                searched[axis.key] = IntDistribution(steps[0], steps[-1], step=steps[1] - steps[0])
            else:
                searched[axis.key] = CategoricalDistribution(axis.values)
    if not searched:
        raise UsageError(
            "nothing is to be searched: every field that trains has one value",
            "type for example 'optim.lr=interval(1e-4,1e-1)'",
        )
    typed = {key: str(each.input_line) for key, each in given.items()}
    return _Space(typed, searched, observed, probe)


def _ends(override: Override) -> str:
    """The override of a sweep, an interval by its ends."""
    if not override.is_interval_sweep():
        return str(override.input_line)
    interval: Any = override.value()
    if not interval.start < interval.end:
        raise UsageError(
            f"{override.input_line}: the second end is not above the first",
            f"type '{override.key_or_group}=interval(LOW,HIGH)'",
        )
    return f"{override.key_or_group}={interval.start:.15g},{interval.end:.15g}"


def _described(of: BaseDistribution) -> str:
    if isinstance(of, CategoricalDistribution):
        return ", ".join(map(spell, of.choices))
    assert isinstance(of, IntDistribution | FloatDistribution)  # noqa: S101  there are no others
    return f"{of.low:g} to {of.high:g}{', log' if of.log else ''}"


def _recorded(
    directory: StudyDirectory, name: str, proposals: optuna.Study
) -> list[optuna.trial.FrozenTrial]:
    """The trials in the record, once these are there too."""
    directory.refuse_links()
    path = directory.path / RECORD
    with locked(directory):
        try:
            storage = optuna.storages.RDBStorage(f"sqlite:///{path}")
            there = optuna.create_study(
                storage=storage,
                study_name=name,
                direction=proposals.direction,
                load_if_exists=True,
            )
            there.add_trials(proposals.trials[len(there.trials) :])
            trials = there.trials
            storage.remove_session()
            storage.engine.dispose()
        except Exception as error:
            raise NormexpError(
                f"{path} cannot be used: {type(error).__name__}",
                "move it away: the same command makes it anew, and no training is lost",
            ) from error
    return trials

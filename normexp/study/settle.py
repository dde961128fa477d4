"""One configuration made ready: open fields filled in, unread ones at defaults, nonsense refused.

Settled, a configuration has one name; checked, it can train, and not to no purpose.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from itertools import chain
from typing import Any

from normexp.config.data import Arrays, Cifar10, Data, Digits, Quadratic
from normexp.config.field import specs
from normexp.config.network import Lenet, Mlp, Model, Own, Resnet, Sgd
from normexp.config.norm import (
    ESTIMATOR_FIELDS,
    WITHOUT_MOMENTUM,
    AveragedKind,
    BatchKind,
    BatchRenorm,
    EmaTrain,
    GhostNorm,
    GroupNorm,
    InstanceNorm,
    LayerNorm,
    NoNorm,
    Norm,
    unread,
)
from normexp.config.schema import (
    ADDRESS,
    SOURCE,
    Ray,
    RunConfig,
    is_recorded,
    last_batch,
    steps_per_epoch,
    total_steps,
    train_size,
)
from normexp.config.tree import refuse_recorded
from normexp.errors import UsageError
from normexp.nets.models import ENTRANCE, Site, structure

SMALL_IMAGE = 16
"""Pixels of a side below which LeNet's 5×5 kernels, unpadded, leave nothing."""


def settle(config: RunConfig, settled_before: dict[Data, Data]) -> RunConfig:
    """Return the configuration with open fields filled in and unread ones at their defaults.

    Args:
        config: as typed.
        settled_before: data in files, settled, by what was typed; these join them.

    Raises:
        UsageError: the data's file is missing, damaged, or not what the configuration says.
    """
    if isinstance(config.data, Arrays | Cifar10):  # the only ones that need NumPy
        from normexp.data.files import settled_data

        if config.data not in settled_before:
            settled_before[config.data] = settled_data(config.data)
        config = replace(config, data=settled_before[config.data])
    model = config.model
    if isinstance(model, Own) and model.source is not None:
        from normexp.nets.module import settled_module

        config = settled_module(config)
        model = config.model
    settled = {name: v for name, v in _open(config).items() if getattr(model, name) is None}
    if not isinstance(model, Own) and model.weight_init != "normal":
        settled |= _defaults(model, "weight_std")
    idle = _idle(config)
    if isinstance(model, Own) and not isinstance(config.norm, NoNorm):
        idle["placement"] = "before"  # a module has its own places
    norm, train = _with(config.norm, *idle.items()), config.train
    if train.steps is not None:
        epochs = -(-train.steps // max(1, steps_per_epoch(config)))
        train = replace(train, epochs=epochs, steps=None)
    return replace(config, model=_with(model, *settled.items()), norm=norm, train=train)


def _open(config: RunConfig) -> dict[str, Any]:
    """Return the model's fields that follow from the norm and the data, if they are null."""
    if isinstance(config.model, Mlp):
        return {"input_norm": isinstance(config.norm, BatchKind)}
    if isinstance(config.model, Lenet):
        small = min(config.data.shape[1:], default=0) < SMALL_IMAGE
        return {
            "kernel": 3 if small else 5,
            "padding": 1 if small else 0,
            "linear_norm": not isinstance(config.norm, InstanceNorm),
        }
    return {}


def _idle(config: RunConfig) -> dict[str, Any]:
    """Return the norm's fields that change nothing here, at their defaults."""
    norm = config.norm
    if isinstance(norm, LayerNorm) and (not norm.affine or isinstance(config.model, Mlp)):
        return {"affine_per": "element"}
    if isinstance(norm, EmaTrain) and norm.momentum is None:
        return {"copy_first": True}
    if not isinstance(norm, AveragedKind):
        return {}
    steady = (
        norm.estimator in WITHOUT_MOMENTUM
        or norm.momentum_schedule == "constant"
        or norm.final_momentum == norm.momentum
    )
    estimator, momentum = _plainest(norm, steady=steady)
    schedule = "constant" if steady else norm.momentum_schedule
    settled = {"norm.estimator": estimator, "norm.momentum": momentum}
    idle = unread({**settled, "norm.momentum_schedule": schedule}) - {"norm.momentum"}
    if steady:
        idle |= {"norm.momentum_schedule"}
    if norm.precise_batches == steps_per_epoch(config):
        idle |= {"norm.precise_batches"}
    fields = [path.removeprefix("norm.") for path in ESTIMATOR_FIELDS if path in idle]
    return {"estimator": estimator, "momentum": momentum, **_defaults(norm, *fields)}


def _plainest(norm: AveragedKind, *, steady: bool) -> tuple[str, float | None]:
    """Return the estimator that gives the same with the fewest fields, and its momentum."""
    estimator, momentum = norm.estimator, norm.momentum
    if estimator == "mixed" and norm.mix in (0, 1):
        estimator = "test_batch" if norm.mix else "ema"
    if estimator == "window" and norm.window == 1:
        return "ema", 1.0
    if estimator == "cumulative":
        return "ema", None
    if estimator in WITHOUT_MOMENTUM:
        return estimator, None
    if estimator in ("debiased", "divided", "warmup"):
        is_limit = momentum == 0 and steady and estimator != "divided"
        if momentum is None or is_limit:
            return "ema", None
        if momentum == 1 and steady:
            return "ema", momentum
    return estimator, momentum


def _defaults(section: Model | Own | Norm, *fields: str) -> dict[str, Any]:
    kind: type = section.__class__
    return {field: specs(kind)[field].default for field in fields}


@lru_cache(maxsize=16384)
def _with(section: Any, *values: tuple[str, Any]) -> Any:  # noqa: ANN401
    """Return the section with these values; cached, so that runs share what is equal."""
    return replace(section, **dict(values))


FEWEST_MEMBERS = 3
"""Of a group: two values that are normalised by each other come out as −1 and 1."""

DIGITS = 1797

Sites = tuple[tuple[str, Site], ...]


def check(config: RunConfig) -> None:
    """Refuse a configuration that could not train, or would train to no purpose.

    Raises:
        UsageError: the fields that do not go together, and what to type instead.
    """
    if is_recorded(config):
        refuse_recorded()
    if isinstance(config.model, Own) and config.model.source is None:
        raise UsageError(
            "model=own is a network of yours, and nothing says which",
            f"type {SOURCE}=FILE.py:FUNCTION, a function that returns a torch.nn.Module",
        )
    _check_fields(config)
    sites, norm = structure(config).sites, config.norm
    if isinstance(norm, NoNorm):
        return
    if not sites:
        what = f"the network calls no batch norm in whose place norm={norm.kind} could be"
        raise UsageError(what, "type norm=none")
    if isinstance(norm, BatchKind):
        _check_batches(config, sites)
    else:
        _check_members(norm, tuple(sites.items()), config.model.kind)


def remarks(config: RunConfig) -> Iterator[str]:
    """Yield notes on what can be trained and is probably not meant, and on a file's data."""
    norm, data, executor = config.norm, config.data, config.executor
    others = sorted(structure(config).eps - {getattr(norm, "eps", None)})
    if others and hasattr(norm, "eps"):
        shown = ", ".join(map("{:g}".format, others))
        yield f"model.source: its batch norms have eps {shown}, which norm.eps replaces"
    batch = min(config.train.batch_size, train_size(config))
    if isinstance(data, Arrays):
        from normexp.data.files import notes

        yield from notes(data)
    if not config.train.shuffle and isinstance(data, Arrays | Cifar10 | Digits):
        if isinstance(data, Digits):
            yield "train.shuffle=false: every epoch is in the one order that the seed has drawn"
        elif data.order == "file":
            yield "train.shuffle=false data.order=file: every epoch is in the file's order"
        else:
            yield (
                "train.shuffle=false: every epoch is in the one order that the seed has drawn; "
                "data.order=file is the file's"
            )
    if isinstance(executor, Ray) and executor.cluster not in {None, executor.address}:
        yield (
            f"{ADDRESS} is {executor.cluster}: the work goes to that Ray cluster; "
            "executor.address=local keeps it here"
        )
    if batch < config.train.batch_size:
        yield (
            f"train.batch_size={config.train.batch_size} is more than the {batch} training "
            "examples: a batch is all of them"
        )
    if isinstance(norm, GhostNorm) and norm.size >= batch:
        yield (
            f"norm.size={norm.size} is no part of a batch of {batch}: "
            "ghost norm is plain batch norm here"
        )
    if isinstance(norm, BatchRenorm) and norm.warmup_steps >= total_steps(config):
        yield (
            f"batch_renorm is plain batch norm here: its norm.warmup_steps={norm.warmup_steps} "
            f"outlast the {total_steps(config)} steps of this training"
        )


def _check_fields(config: RunConfig) -> None:
    data, model, optim, train = config.data, config.model, config.optim, config.train
    if isinstance(data, Quadratic) and data.low >= data.high:
        raise UsageError(
            f"data.low={data.low:g} is not below data.high={data.high:g}",
            "type data.low=-7 data.high=10",
        )
    if isinstance(data, Digits) and data.train_size + data.test_size > DIGITS:
        raise UsageError(
            f"data.train_size={data.train_size} data.test_size={data.test_size}: there are "
            f"{DIGITS:,} digits",
            f"type data.test_size={max(2, DIGITS - data.train_size)}",
        )
    if train.drop_last and train.batch_size > train_size(config):
        raise UsageError(
            f"train.drop_last=true leaves no batch: train.batch_size={train.batch_size} is "
            f"larger than data.train_size={train_size(config)}",
            f"type train.batch_size={train_size(config)}",
        )
    if isinstance(model, Resnet) and (model.depth - 2) % 6:
        raise UsageError(
            f"model.depth={model.depth}: a resnet has 6n + 2 layers",
            f"type model.depth={6 * round((model.depth - 2) / 6) + 2}",
        )
    if isinstance(optim, Sgd) and optim.nesterov and not optim.momentum:
        raise UsageError(
            "optim.nesterov=true needs momentum, and here optim.momentum=0",
            "type optim.momentum=0.9, or optim.nesterov=false",
        )
    norm = config.norm
    if not isinstance(norm, AveragedKind):
        return
    first, last = norm.momentum, norm.final_momentum
    if norm.momentum_schedule == "exponential" and not (first and last):
        raise UsageError(
            "norm.momentum_schedule=exponential needs momenta above 0, and here "
            f"norm.momentum={first:g} norm.final_momentum={last:g}",
            "type norm.momentum=0.3 norm.final_momentum=0.01",
        )
    is_zero = first == 0 and (norm.momentum_schedule == "constant" or last == 0)
    if norm.estimator == "divided" and is_zero:
        raise UsageError(
            "norm.estimator=divided needs a momentum above 0: without weight nothing is averaged",
            "type norm.momentum=0.1",
        )


def _check_batches(config: RunConfig, sites: dict[str, Site]) -> None:
    """Refuse batches, or parts of them, that have one value of a channel."""
    batch = config.train.batch_size
    batches = {last_batch(config)} | ({batch} if steps_per_epoch(config) > 1 else set())
    size = config.norm.size if isinstance(config.norm, GhostNorm) else None
    smallest = min(each % size or size if size else each for each in batches)
    lonely = [name for name, site in sites.items() if smallest * site.positions == 1]
    if not lonely:
        return
    where = f" and virtual batches of norm.size={size}" if size else ""
    if size:  # the next smaller size, or the next larger, that leaves no batch of one
        largest = max(batches)
        sizes = chain(range(min(size, largest), 1, -1), range(size, largest + 1))
        fits = (each for each in sizes if min(of % each or each for of in batches) > 1)
        possible = None if 1 in batches else next(fits, None)
        hint = f"type norm.size={possible}" if possible else "type another train.batch_size"
    elif batch > 1:
        hint = "type train.drop_last=true or another train.batch_size"
    else:
        hint = "type train.batch_size=2 or more"
    raise UsageError(
        f"norm={config.norm.kind} cannot normalise a batch of one, as in PyTorch (Keras and "
        "Flax go on with a variance of 0): "
        f"data.train_size={train_size(config)} in batches of train.batch_size={batch}{where} "
        f"leaves one value a channel at {lonely[0]}",
        hint,
    )


@lru_cache(maxsize=1024)
def _check_members(norm: Norm, sites: Sites, model: str) -> None:
    """Refuse norms over an example that have too few values in a group."""
    for name, site in sites:
        if name == ENTRANCE:
            continue
        if isinstance(norm, InstanceNorm) and not site.pixels:
            raise UsageError(
                f"norm=instance normalises each channel of an image, and {name} gives vectors of "
                f"{site.channels} numbers",
                {
                    "lenet": "type model.linear_norm=false",
                    "mlp": "leave out norm=instance, or type model=lenet",
                }.get(model, "leave out norm=instance"),
            )
        groups = norm.groups if isinstance(norm, GroupNorm) else 1
        if isinstance(norm, InstanceNorm):
            groups = site.channels
        fitting = _common_groups(sites, groups) if isinstance(norm, GroupNorm) else 0
        hint = f"type norm.groups={fitting}" if fitting else "type norm=none or widen the network"
        if site.channels % groups:
            raise UsageError(
                f"norm.groups={groups} does not divide the {site.channels} channels of {name}", hint
            )
        members = site.channels // groups * site.positions
        if members < FEWEST_MEMBERS:
            raise UsageError(
                f"norm={norm.kind} has groups of {members} at {name}: normalised by themselves "
                f"fewer than {FEWEST_MEMBERS} values say nothing",
                hint,
            )


def _common_groups(sites: Sites, groups: int) -> int:
    """Return the largest number of groups, up to the given, that suits all sites; else 0."""
    hidden = [site for name, site in sites if name != ENTRANCE]
    for number in range(min(groups, *(site.channels for site in hidden)), 0, -1):
        divides = all(not site.channels % number for site in hidden)
        members = min(site.channels // number * site.positions for site in hidden)
        if divides and members >= FEWEST_MEMBERS:
            return number
    return 0

"""Combinations of fields that make no sense, refused with a reason, and those worth a note."""

from collections.abc import Iterator
from functools import lru_cache
from itertools import chain

from normexp.config.data import Arrays, Cifar10, Digits, Quadratic
from normexp.config.executor import ADDRESS, Ray
from normexp.config.network import Resnet, Sgd
from normexp.config.norm import (
    AveragedKind,
    BatchKind,
    BatchRenorm,
    GhostNorm,
    GroupNorm,
    InstanceNorm,
    NoNorm,
    Norm,
)
from normexp.config.schema import (
    RunConfig,
    is_recorded,
    last_batch,
    steps_per_epoch,
    total_steps,
    train_size,
)
from normexp.config.tree import refuse_recorded
from normexp.errors import UsageError
from normexp.nets.structure import ENTRANCE, Site, structure

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
    _check_fields(config)
    sites = structure(config).sites
    if isinstance(config.norm, BatchKind):
        _check_batches(config, sites)
    elif not isinstance(config.norm, NoNorm):
        _check_members(config.norm, tuple(sites.items()))


def remarks(config: RunConfig) -> Iterator[str]:
    """Yield notes on what can be trained and is probably not meant, and on a file's data."""
    norm, data, executor = config.norm, config.data, config.executor
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
    if isinstance(config.norm, AveragedKind):
        _check_momenta(config.norm)


def _check_momenta(norm: AveragedKind) -> None:
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
    if size:
        hint = _possible_size(batches, size)
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


def _possible_size(batches: set[int], size: int) -> str:
    """Return a hint for virtual batches of which none has one value."""
    largest = max(batches)
    for each in chain(range(min(size, largest), 1, -1), range(size, largest + 1)):
        if min(batch % each or each for batch in batches) > 1 and 1 not in batches:
            return f"type norm.size={each}"
    return "type another train.batch_size"


@lru_cache(maxsize=1024)
def _check_members(norm: Norm, sites: Sites) -> None:
    """Refuse norms over an example that have too few values in a group."""
    for name, site in sites:
        if name == ENTRANCE:
            continue
        if isinstance(norm, InstanceNorm) and not site.pixels:
            raise UsageError(
                f"norm=instance normalises each channel of an image, and {name} gives vectors of "
                f"{site.channels} numbers",
                "type model.linear_norm=false"
                if name.startswith("linear")
                else "leave out norm=instance, or type model=lenet",
            )
        groups = norm.groups if isinstance(norm, GroupNorm) else 1
        if isinstance(norm, InstanceNorm):
            groups = site.channels
        if site.channels % groups:
            raise UsageError(
                f"norm.groups={groups} does not divide the {site.channels} channels of {name}",
                f"type norm.groups={_common_groups(sites, groups)}",
            )
        members = site.channels // groups * site.positions
        if members < FEWEST_MEMBERS:
            raise UsageError(
                f"norm={norm.kind} has groups of {members} at {name}: normalised by themselves "
                f"fewer than {FEWEST_MEMBERS} values say nothing",
                "type a smaller norm.groups, or a wider model"
                if isinstance(norm, GroupNorm)
                else "type a wider model, or norm=none",
            )


def _common_groups(sites: Sites, groups: int) -> int:
    """Return the largest number of groups, up to the given, that suits all sites."""
    hidden = [site for name, site in sites if name != ENTRANCE]
    for number in range(min(groups, *(site.channels for site in hidden)), 1, -1):
        divides = all(not site.channels % number for site in hidden)
        members = min(site.channels // number * site.positions for site in hidden)
        if divides and members >= FEWEST_MEMBERS:
            return number
    return 1

"""What single fields cannot say: combinations that make no sense, each refused with its reason."""

from collections.abc import Iterator
from functools import lru_cache
from itertools import chain

from normexp.config.batches import kinds_of_batch, smallest_part, total_steps, train_size
from normexp.config.data import Arrays, Cifar10, Digits, Quadratic
from normexp.config.executor import ADDRESS, Ray
from normexp.config.model import Resnet
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
from normexp.config.optim import Sgd
from normexp.config.schema import RunConfig
from normexp.errors import UsageError
from normexp.nets.structure import ENTRANCE, Site, structure

FEWEST_MEMBERS = 3
"""Of a group: two values that are normalised by each other come out as −1 and 1."""

DIGITS = 1797


def check(config: RunConfig) -> None:
    """Refuse a configuration that could not train, or would train to no purpose.

    Raises:
        UsageError: the fields that do not go together, and what to type instead.
    """
    _check_data(config)
    _check_model(config)
    _check_estimator(config.norm)
    sites = structure(config).sites
    if isinstance(config.norm, BatchKind):
        _check_batches(config, sites)
    elif not isinstance(config.norm, NoNorm):
        _check_members(config.norm, tuple(sites.items()))


def remarks(config: RunConfig) -> Iterator[str]:
    """What can be trained and is probably not meant, and what a file holds."""
    batch, norm, data = config.train.batch_size, config.norm, config.data
    if isinstance(data, Arrays):
        from normexp.data.files import notes

        yield from notes(data)
    yield from _order(config)
    executor = config.executor
    if isinstance(executor, Ray) and executor.cluster not in {None, executor.address}:
        yield (
            f"{ADDRESS} is {executor.cluster}: the work goes to that Ray cluster; "
            "executor.address=local keeps it here"
        )
    if batch > train_size(config):
        yield (
            f"train.batch_size={batch} is more than the {train_size(config)} training examples: "
            "a batch is all of them"
        )
    if isinstance(norm, GhostNorm) and norm.size >= min(batch, train_size(config)):
        yield (
            f"norm.size={norm.size} is no part of a batch of {min(batch, train_size(config))}: "
            "ghost norm is plain batch norm here"
        )
    if isinstance(norm, BatchRenorm) and norm.warmup_steps >= total_steps(config):
        yield (
            f"batch_renorm is plain batch norm here: its norm.warmup_steps={norm.warmup_steps} "
            f"outlast the {total_steps(config)} steps of this training"
        )


def _order(config: RunConfig) -> Iterator[str]:
    """The order of batches, where it is one for every epoch and data stand in a file."""
    data = config.data
    if config.train.shuffle or not isinstance(data, Arrays | Cifar10 | Digits):
        return
    if isinstance(data, Digits):
        yield "train.shuffle=false: every epoch is in the one order that the seed has drawn"
    elif data.order == "file":
        yield "train.shuffle=false data.order=file: every epoch is in the file's order"
    else:
        yield (
            "train.shuffle=false: every epoch is in the one order that the seed has drawn; "
            "data.order=file is the file's"
        )


def _check_data(config: RunConfig) -> None:
    data = config.data
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
    if config.train.drop_last and config.train.batch_size > train_size(config):
        raise UsageError(
            f"train.drop_last=true leaves no batch: train.batch_size={config.train.batch_size} is "
            f"larger than data.train_size={train_size(config)}",
            f"type train.batch_size={train_size(config)}",
        )


def _check_estimator(norm: Norm) -> None:
    if not isinstance(norm, AveragedKind):
        return
    momenta = (norm.momentum, norm.final_momentum)
    if norm.momentum_schedule == "exponential" and not all(momenta):
        raise UsageError(
            "norm.momentum_schedule=exponential needs momenta above 0, and here "
            f"norm.momentum={momenta[0]:g} norm.final_momentum={momenta[1]:g}",
            "type norm.momentum=0.3 norm.final_momentum=0.01",
        )
    still = norm.momentum_schedule == "constant" or not norm.final_momentum
    if norm.estimator == "divided" and norm.momentum == 0 and still:
        raise UsageError(
            "norm.estimator=divided needs a momentum above 0: without weight nothing is averaged",
            "type norm.momentum=0.1",
        )


def _check_model(config: RunConfig) -> None:
    model, optim = config.model, config.optim
    if isinstance(model, Resnet) and (model.depth - 2) % 6:
        near = 6 * round((model.depth - 2) / 6) + 2
        raise UsageError(
            f"model.depth={model.depth}: a resnet has 6n + 2 layers", f"type model.depth={near}"
        )
    if isinstance(optim, Sgd) and optim.nesterov and not optim.momentum:
        raise UsageError(
            "optim.nesterov=true needs momentum, and here optim.momentum=0",
            "type optim.momentum=0.9, or optim.nesterov=false",
        )


def _check_batches(config: RunConfig, sites: dict[str, Site]) -> None:
    """Statistics over a batch need two values of every channel, in the smallest part of all."""
    batch = config.train.batch_size
    smallest = smallest_part(config)
    lonely = [name for name, site in sites.items() if smallest * site.positions == 1]
    if not lonely:
        return
    ghost = config.norm.size if isinstance(config.norm, GhostNorm) else None
    where = f" and virtual batches of norm.size={ghost}" if ghost else ""
    raise UsageError(
        f"norm={config.norm.kind} cannot normalise a batch of one, as in PyTorch (Keras and "
        "Flax go on with a variance of 0): "
        f"data.train_size={train_size(config)} in batches of train.batch_size={batch}{where} "
        f"leaves one value a channel at {lonely[0]}",
        _possible_size(config, ghost)
        if ghost
        else "type train.drop_last=true or another train.batch_size"
        if batch > 1
        else "type train.batch_size=2 or more",
    )


def _possible_size(config: RunConfig, ghost: int) -> str:
    """What to type for virtual batches none of which is of one value."""
    sizes = kinds_of_batch(config)
    if 1 in sizes:  # which no size divides
        return "type another train.batch_size"
    for size in chain(range(ghost, 1, -1), range(ghost, max(sizes) + 1)):
        rests = {batch % size or size for batch in sizes}
        if min(rests) > 1:
            return f"type norm.size={size}"
    return "type another train.batch_size"


@lru_cache(maxsize=1024)
def _check_members(norm: Norm, sites: tuple[tuple[str, Site], ...]) -> None:
    """Statistics over an example need a few values in every group."""
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
        if site.channels // groups * site.positions < FEWEST_MEMBERS:
            members = site.channels // groups * site.positions
            raise UsageError(
                f"norm={norm.kind} has groups of {members} at {name}: normalised by themselves "
                f"fewer than {FEWEST_MEMBERS} values say nothing",
                "type a smaller norm.groups, or a wider model"
                if isinstance(norm, GroupNorm)
                else "type a wider model, or norm=none",
            )


def _common_groups(sites: tuple[tuple[str, Site], ...], groups: int) -> int:
    """The largest number of groups, up to the given, that suits all sites."""
    hidden = [site for name, site in sites if name != ENTRANCE]

    def suits(number: int) -> bool:
        members = [site.channels // number * site.positions for site in hidden]
        divides = all(not site.channels % number for site in hidden)
        return divides and min(members) >= FEWEST_MEMBERS

    most = min(groups, *(site.channels for site in hidden))
    return max((number for number in range(1, most + 1) if suits(number)), default=1)

"""A training of normexp replayed in plain PyTorch, with the norm of another framework in it.

Draws alone are normexp's: initial weights, data and batch order, kept as tensors by name so that
a new process can read them. Vectors go through an MLP, images through a LeNet.
"""

from collections.abc import Callable, Iterable, Sequence

import torch
from reference import Batch, Norm, PlainLenet, PlainMlp, PlainNetwork, evaluate, loss_of
from torch import nn

import normexp
from normexp.config.schema import RunConfig, batch_sizes
from normexp.data.draw import draw, orders
from normexp.engine.observe import observe
from normexp.engine.train import train
from normexp.nets.network import Network
from normexp.numerics import one_thread

Tensors = dict[str, torch.Tensor]

CASES = {
    "vectors": ["data=random_labels", "model=mlp", "model.depth=1", "model.width=5"],
    "images": ["data=digits", "data.test_size=20", "model=lenet"],
}
SETTINGS = ["data.train_size=60", "train.batch_size=16", "train.epochs=2",
            "norm=batch", "seed=0", "log.every=1", "optim=sgd"]  # fmt: skip
"""Four batches an epoch, the last of 12: eight steps."""

STEPS = range(1, 9)


class Wrapped(nn.Module):
    """A framework's norm as a module: weight and bias are applied here, at 1 and 0 they do nothing.

    Args:
        channels: of x.
        normalize: x in units of a batch or of running statistics, and whether training.
        statistics: running mean and variance of now.
    """

    def __init__(
        self,
        channels: int,
        normalize: Callable[[torch.Tensor, bool], torch.Tensor],
        statistics: Callable[[], tuple[torch.Tensor, torch.Tensor]],
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self._normalize, self.statistics = normalize, statistics

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """X normalised, scaled and shifted."""
        weight, bias = (
            values.view(1, -1, *[1] * (x.dim() - 2)) for values in (self.weight, self.bias)
        )
        y: torch.Tensor = self._normalize(x, self.training) * weight + bias
        return y


def kept(case: str, framework: str, *overrides: str) -> Tensors:
    """What normexp keeps of a run of a preset.

    `train_loss` [steps] and `test_loss`, `SITE.mean` and `SITE.var` [steps, channels].
    """
    typed = [*CASES[case], *SETTINGS, *overrides, f"norm/framework={framework}"]
    (run,) = normexp.load(*typed).runs
    with one_thread():
        record = train([run.config])
        (seen,) = observe(record, [run.config], [0])
    assert seen.rows.tolist() == [0, *STEPS]
    found = {"train_loss": record.train_loss[0], "test_loss": seen.scores["loss"][-1]}
    widths = list(record.sites.values())
    for name, rows in (("mean", seen.running_mean[1:]), ("var", seen.running_var[1:])):
        for site, values in zip(record.sites, torch.split(rows, widths, 1), strict=True):
            found[f"{site}.{name}"] = values
    return found


def draws(case: str, *overrides: str) -> Tensors:
    """The initial weights, batches and tests of the one training of these overrides."""
    (run,) = normexp.load(*CASES[case], *SETTINGS, *overrides).runs
    initial = Network(run.config).initial(run.config)
    found = {f"weights/{name}": values for name, values in initial.items()}
    for number, (x, y) in enumerate(batches(run.config)):
        found |= {f"x/{number}": x, f"y/{number}": y}
    found["test/x"], found["test/y"] = held_out(run.config)
    return {name: values.detach().clone().contiguous() for name, values in found.items()}


def batches(config: RunConfig) -> list[Batch]:
    """The batches of a training, in order, examples first."""
    data, sizes, found = draw(config), batch_sizes(config), list[Batch]()
    for epoch in range(config.train.epochs):
        (order,) = orders([config], epoch)
        for chosen in torch.split(order[: sum(sizes)], sizes):
            x = _first(data.x)[chosen]
            if data.shift is not None:
                x = x + data.shift[:, len(found)]
            found.append((x.contiguous(), _first(data.y)[chosen].contiguous()))
    return found


def held_out(config: RunConfig) -> Batch:
    """The test set, examples first."""
    data = draw(config)
    return _first(data.test_x).contiguous(), _first(data.test_y).contiguous()


def replay(case: str, drawn: Tensors, norm: Norm, lr: float | None) -> Tensors:
    """The same as `kept`, by the oracle with this norm.

    Args:
        case: `vectors` or `images`.
        drawn: what `draws` gives.
        norm: makes the norms.
        lr: of gradient descent; None: weights stay, for norms that have no gradient here.
    """
    network = _network(case, norm).to(drawn["x/0"].dtype)
    network.put(under("weights", drawn))
    losses, statistics = [], []
    with one_thread():  # more than one would wait for each other over so small a matrix
        for step in range(len(STEPS)):
            losses.append(_step(network, (drawn[f"x/{step}"], drawn[f"y/{step}"]), lr))
            statistics.append({name: _statistics(norm) for name, norm in network.norms.items()})
    found = {
        "train_loss": torch.stack(losses),
        "test_loss": evaluate(network, (drawn["test/x"], drawn["test/y"])),
    }
    for name in network.norms:
        for place, kind in enumerate(("mean", "var")):
            found[f"{name}.{kind}"] = torch.stack([each[name][place] for each in statistics])
    return found


def under(prefix: str, tensors: Tensors) -> Tensors:
    """Those whose names begin with `PREFIX/`, without it."""
    whole = f"{prefix}/"
    return {
        name.removeprefix(whole): values
        for name, values in tensors.items()
        if name.startswith(whole)
    }


def assert_same(found: Tensors, expected: Tensors, tolerance: float) -> None:
    """Everything equal, relative to the largest of its kind where that is above 1."""
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        off = largest_error({name: found[name]}, {name: values})
        assert off <= tolerance, f"{name} is off by {off:.2g}"


def largest_error(found: Tensors, expected: Tensors, names: Iterable[str] = ()) -> float:
    """The largest difference, relative to the largest expected value where that is above 1."""
    errors = [
        float((found[name].double() - expected[name].double()).abs().max())
        / max(1.0, float(expected[name].abs().max()))
        for name in names or expected
    ]
    return max(errors)


def _network(case: str, norm: Norm) -> PlainNetwork:
    if case == "vectors":
        return PlainMlp(1, 5, 10, 2, norm=norm, input_norm=True)
    return PlainLenet(1, 8, norm, after=False)


def _step(network: PlainNetwork, batch: Sequence[torch.Tensor], lr: float | None) -> torch.Tensor:
    x, y = batch
    network.train()
    if lr is None:
        with torch.no_grad():
            return loss_of(network(x), y)
    optimizer = torch.optim.SGD(network.parameters(), lr=lr)
    optimizer.zero_grad()
    loss = loss_of(network(x), y)
    torch.autograd.backward(loss)
    optimizer.step()
    return loss.detach()


def _statistics(norm: nn.Module) -> tuple[torch.Tensor, torch.Tensor]:
    assert isinstance(norm, Wrapped)
    mean, var = norm.statistics()
    return mean.detach().clone(), var.detach().clone()


def _first(x: torch.Tensor) -> torch.Tensor:
    """Examples first, as `torch.nn` wants them."""
    return x.T if x.dim() == len(("features", "examples")) else x

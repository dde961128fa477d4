"""Claims that are arithmetic: computed on tensors, no run and no interval."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from normexp.claims.claim import Cell
from normexp.claims.evidence import Evidence
from normexp.frameworks.table import named

if TYPE_CHECKING:
    import torch

EPS = 1e-5


def defaults(_: Evidence) -> Sequence[Cell]:
    """PyTorch's default momentum as the weight of the old value."""
    from torch import nn

    momentum = nn.BatchNorm1d(1).momentum
    old = math.nan if momentum is None else 1 - momentum
    return [Cell("", abs(old - 0.9) < 1e-12, f"{old:g}")]  # noqa: PLR2004


def incremental(_: Evidence) -> Sequence[Cell]:
    """Both forms of the update over the same batches."""
    import torch

    batches = torch.randn(1000, 8, generator=_generator(), dtype=torch.float64) + 3
    plain = other = torch.zeros(8, dtype=torch.float64)
    for batch in batches:
        plain = plain * 0.9 + batch * (1 - 0.9)
        other = other - (other - batch) * (1 - 0.9)
    largest = float((plain - other).abs().max())
    return [Cell("", largest < 1e-12, f"{largest:.1e}")]  # noqa: PLR2004


def numpy_batch_norm(_: Evidence) -> Sequence[Cell]:
    """S2's forward pass written out in NumPy, beside PyTorch's."""
    import torch
    from torch import nn

    x = torch.randn(16, 5, generator=_generator(), dtype=torch.float64) * 2 + 1
    torch_norm = nn.BatchNorm1d(5, momentum=0.1, dtype=torch.float64)
    expected = torch_norm(x).detach().numpy()
    values = x.numpy()
    mean, var = values.mean(0), values.var(0)
    output = (values - mean) / (var + EPS) ** 0.5
    running_mean, running_var = mean * (1 - 0.9), 0.9 + var * (1 - 0.9)
    same_output = bool(abs(output - expected).max() < EPS)
    running = [getattr(torch_norm, f"running_{name}").numpy() for name in ("mean", "var")]
    same_mean = bool(abs(running_mean - running[0]).max() < EPS)
    taken = [(variance - 0.9) / (1 - 0.9) for variance in (running_var, running[1])]
    ratio = float((taken[0] / taken[1]).mean())
    as_torch = bool(abs(running_var - running[1]).max() < EPS)
    correction = {"biased": 0, "unbiased": 1}[named("keras", "framework").averages]
    keras_var = (0.9 + 0.1 * x.var(0, correction=correction)).numpy()
    as_keras = bool(abs(running_var - keras_var).max() < EPS)
    return [
        Cell("PyTorch's running variance", as_torch, f"{ratio:.4f} (batch of 16)"),
        Cell("outputs in training", same_output, "equal" if same_output else "not equal"),
        Cell("running mean", same_mean, "equal" if same_mean else "not equal"),
        Cell("Keras's running variance", as_keras, "equal" if as_keras else "not equal"),
    ]


def axes(_: Evidence) -> Sequence[Cell]:
    """The four norms of PyTorch on one image batch, their means and variances over the axes."""
    import torch
    from torch import nn

    x = torch.randn(8, 64, 8, 8, generator=_generator()) * 3 + 2
    grouped = (8, 4, 16 * 64)
    seen = (
        ("BN", nn.BatchNorm2d(64, affine=False)(x), (0, 2, 3)),
        ("LN", nn.LayerNorm([64, 8, 8], elementwise_affine=False)(x), (1, 2, 3)),
        ("IN", nn.InstanceNorm2d(64)(x), (2, 3)),
        ("GN", nn.GroupNorm(4, 64, affine=False)(x).reshape(grouped), (2,)),
    )
    return [Cell(name, _is_unit(y, over), f"{_deviation(y, over):.1e}") for name, y, over in seen]


def grouped_convolution(_: Evidence) -> Sequence[Cell]:
    """What comes of twice the input."""
    import torch
    from torch import nn
    from torch.nn import functional

    x = torch.randn(4, 8, 6, 6, generator=_generator())
    weight = torch.randn(8, 2, 3, 3, generator=_generator())
    norm = nn.GroupNorm(4, 8)
    doubled, plain = (functional.conv2d(part, weight, groups=4) for part in (2 * x, x))
    ratio = _ratio(doubled, plain)
    of_norm = _ratio(norm(2 * x), norm(x))
    return [
        Cell("", abs(ratio - 1) < 1e-3, f"{ratio:.3f} (group norm: {of_norm:.3f})")  # noqa: PLR2004
    ]


def any_dimensions(_: Evidence) -> Sequence[Cell]:
    """Group norm of vectors of three shapes."""
    import torch
    from torch import nn

    cells = []
    for name, shape in (("1-D", (5,)), ("2-D", (5, 4)), ("3-D", (5, 4, 3))):
        x = torch.randn(3, 8, *shape, generator=_generator()) + 1
        y = nn.GroupNorm(4, 8, affine=False)(x).reshape(3, 4, -1)
        largest = float(y.mean(2).abs().max())
        cells.append(Cell(name, largest < EPS, f"{largest:.1e}"))
    return cells


def hand_written(_: Evidence) -> Sequence[Cell]:
    """Normalised by `x.var()` against PyTorch's layer norm, by the number of values."""
    import torch
    from torch.nn import functional

    cells = []
    for n in (2, 8, 32768):
        x = torch.randn(4, n, generator=_generator(), dtype=torch.float64)
        own = (x - x.mean(1, keepdim=True)) / (x.var(1, keepdim=True) + EPS).sqrt()
        ratio = _ratio(own, functional.layer_norm(x, (n,), eps=EPS))
        cells.append(Cell(f"n = {n}", abs(ratio - 1) < 1e-3, f"{ratio:.5f} (n = {n})"))  # noqa: PLR2004
    return cells


def layer_norm_alone(_: Evidence) -> Sequence[Cell]:
    """One example alone and in company."""
    import torch
    from torch import nn

    x = torch.randn(64, 32, generator=_generator())
    layer, batch = nn.LayerNorm(32), nn.BatchNorm1d(32)
    change = float((layer(x[:1]) - layer(x)[:1]).detach().abs().max())
    of_batch = float((batch(x[:2])[:1] - batch(x)[:1]).detach().abs().max())
    held = change < 1e-6 and of_batch > 1e-6  # noqa: PLR2004
    return [Cell("", held, f"{change:.1g} (batch norm: {of_batch:.2g})")]


def _generator() -> "torch.Generator":
    import torch

    return torch.Generator().manual_seed(0)


def _ratio(one: "torch.Tensor", other: "torch.Tensor") -> float:
    return float(one.detach().norm() / other.detach().norm())


def _is_unit(y: "torch.Tensor", over: tuple[int, ...]) -> bool:
    mean = float(y.mean(over).abs().max())
    var = float((y.var(over, correction=0) - 1).abs().max())
    return mean < EPS and var < 1e-3  # noqa: PLR2004


def _deviation(y: "torch.Tensor", over: tuple[int, ...]) -> float:
    return float(max(y.mean(over).abs().max(), (y.var(over, correction=0) - 1).abs().max()))

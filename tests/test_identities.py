"""The identities among the claims: each proved, with PyTorch's modules where they are its subject.

A test is named after its claim; `normexp/claims/studies.py` has the verdicts that these prove.
"""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from normexp.claims.studies import IDENTITIES
from normexp.theory.frameworks import named

MOMENTA = (0.01, 0.1, 0.99)
VERDICTS = {each.id: each.verdict for each in IDENTITIES}


@pytest.fixture(autouse=True)
def _drawn_alike() -> None:
    torch.manual_seed(0)


def unit(y: torch.Tensor, over: tuple[int, ...]) -> bool:
    """Whether means are 0 and biased variances 1 over these axes."""
    mean, var = y.mean(over), y.var(over, correction=0)
    return bool(mean.abs().max() < 1e-5) and bool((var - 1).abs().max() < 1e-3)


def test_every_identity_has_its_test() -> None:
    """By its number: S2.10 is proved in `test_s2_10_...`."""
    proved = re.findall(r"^def test_s(\d)_(\d+)_", Path(__file__).read_text(), re.MULTILINE)

    assert {f"S{source}.{number}" for source, number in proved} == set(VERDICTS)


def test_s0_2_the_running_mean_moves_by_the_momentum() -> None:
    """One batch of mean 10: the larger the momentum, the further."""
    moved = []
    for momentum in MOMENTA:
        norm = nn.BatchNorm1d(1, momentum=momentum)
        norm(torch.tensor([[9.0], [11.0]]))
        moved.append(norm.running_mean.item())  # type: ignore[union-attr]

    assert moved == pytest.approx([0.1, 1.0, 9.9])
    assert VERDICTS["S0.2"] == "fails"


def s0_classifier(momentum: float) -> nn.Sequential:
    """S0's network."""
    return nn.Sequential(
        nn.Linear(10, 20), nn.BatchNorm1d(20, momentum=momentum), nn.ReLU(), nn.Linear(20, 2)
    )


@pytest.mark.parametrize("seed", range(5))
def test_s0_3_weights_and_losses_are_the_same_under_every_momentum(seed: int) -> None:
    """S0's network trained by plain PyTorch, once with each momentum; its statistics differ."""

    def trained(momentum: float) -> tuple[list[torch.Tensor], torch.Tensor]:
        torch.manual_seed(seed)
        network = s0_classifier(momentum)
        x, y = torch.randn(100, 10), torch.randint(0, 2, (100,))
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
        losses = []
        for _ in range(10):
            for some in torch.arange(100).split(10):  # type: ignore[no-untyped-call]
                optimizer.zero_grad()
                loss = functional.cross_entropy(network(x[some]), y[some])
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                losses.append(loss.detach())
        statistics = network[1].running_mean
        assert isinstance(statistics, torch.Tensor)
        return [*(p.detach() for p in network.parameters()), torch.stack(losses)], statistics

    first, *others = (trained(momentum) for momentum in MOMENTA)

    for weights, statistics in others:
        assert all(map(torch.equal, weights, first[0]))
        assert not torch.equal(statistics, first[1])
    assert VERDICTS["S0.3"] == "fails"


def test_s0_5_features_are_normalised_up_to_eps() -> None:
    """On batches of S0's hidden layer: mean 0, biased variance var / (var + eps)."""
    norm = nn.BatchNorm1d(20, affine=False)
    hidden = s0_classifier(0.1)[0](torch.randn(100, 10)).detach()
    for some in torch.arange(100).split(10):  # type: ignore[no-untyped-call]
        x, y = hidden[some], norm(hidden[some])
        var = x.var(0, correction=0)
        assert y.mean(0).abs().max() < 1e-5
        assert torch.allclose(y.var(0, correction=0), var / (var + norm.eps), atol=1e-5)


def test_s1_6_a_bias_before_the_norm_is_cancelled() -> None:
    """Loss and gradients of the weights, whatever the hidden biases are."""
    network = nn.Sequential(nn.Linear(1, 10), nn.BatchNorm1d(10), nn.Tanh(), nn.Linear(10, 1))
    x, seen = torch.linspace(-7, 10, 64)[:, None], []
    for bias in (0.0, -0.2, 1.0):
        nn.init.constant_(network[0].bias, bias)  # type: ignore[arg-type]
        loss = functional.mse_loss(network(x), x**2)
        (gradient,) = torch.autograd.grad(loss, [network[0].weight])  # type: ignore[arg-type]
        seen.append((loss.item(), gradient))

    for loss_of, gradient in seen[1:]:
        assert loss_of == pytest.approx(seen[0][0], rel=1e-4)
        assert torch.allclose(gradient, seen[0][1], rtol=1e-3, atol=1e-3)


def test_s1_9_evaluation_mode_reads_and_never_writes() -> None:
    """Buffers and the outputs of a batch, before and after other batches."""
    norm = nn.BatchNorm1d(20)
    batches = torch.randn(10, 10, 20) * 2 + 1
    for x in batches[:5]:
        norm(x)
    norm.eval()
    before, buffers = norm(batches[5]), [each.clone() for each in norm.buffers()]
    for x in batches[6:]:
        norm(x)

    assert torch.equal(before, norm(batches[5]))
    assert all(map(torch.equal, buffers, norm.buffers()))


def test_s2_1_the_rule_is_that_of_torch_with_m_for_1_minus_momentum() -> None:
    """Means to rounding; the variance that PyTorch averages is unbiased."""
    norm, mean, var = nn.BatchNorm1d(3, momentum=0.1, dtype=torch.float64), 0.0, 1.0
    for x in torch.randn(20, 8, 3, dtype=torch.float64) + 2:
        norm(x)
        mean = mean * 0.9 + x.mean(0) * (1 - 0.9)
        var = var * 0.9 + x.var(0) * (1 - 0.9)

    assert torch.allclose(norm.running_mean, torch.as_tensor(mean))  # type: ignore[arg-type]
    assert torch.allclose(norm.running_var, torch.as_tensor(var))  # type: ignore[arg-type]


def test_s2_2_torchs_default_is_the_complement_of_0_9() -> None:
    """And Keras's is in the table of frameworks, read from its source."""
    assert 1 - (nn.BatchNorm1d(1).momentum or 0) == pytest.approx(0.9)
    assert named("keras", "framework").default == 0.99


@pytest.mark.parametrize(("start", "steps"), [(0.0, 10), (10.0, 10), (10.0, 2000)])
def test_s2_3_what_is_left_of_the_start_is_m_to_the_t(start: float, steps: int) -> None:
    """Against the average without a start; after 2,000 steps of 0.99 it is 2e-9."""
    mean = start
    for _ in range(steps):
        mean = mean * 0.99 + 3.0 * 0.01

    assert mean - 3.0 * (1 - 0.99**steps) == pytest.approx(start * 0.99**steps, abs=1e-12)
    assert VERDICTS["S2.3"] == "holds only if"


def test_s2_4_the_incremental_form_is_the_same() -> None:
    """Over 1,000 batches in float64."""
    plain = other = np.zeros(8)
    for batch in np.random.default_rng(0).normal(3, 1, (1000, 8)):
        plain = plain * 0.9 + batch * (1 - 0.9)
        other = other - (other - batch) * (1 - 0.9)

    assert np.abs(plain - other).max() < 1e-12


def test_s2_10_its_variance_is_kerass_and_not_torchs() -> None:
    """Outputs and means agree with both; what is averaged is (B − 1)/B of PyTorch's variance."""
    x = torch.randn(16, 5, dtype=torch.float64) * 2 + 1
    norm = nn.BatchNorm1d(5, momentum=0.1, dtype=torch.float64)
    expected, values = norm(x).detach().numpy(), x.numpy()
    mean, var = values.mean(0), values.var(0)
    ours, torchs = 0.9 + var * (1 - 0.9), norm.running_var.numpy()  # type: ignore[union-attr]

    assert np.allclose((values - mean) / (var + 1e-5) ** 0.5, expected)
    assert np.allclose(mean * (1 - 0.9), norm.running_mean.numpy())  # type: ignore[union-attr]
    assert np.allclose((ours - 0.9) / (torchs - 0.9), 15 / 16)
    assert named("keras", "framework").averages == "biased"
    assert VERDICTS["S2.10"] == "holds only if"


def test_s3_2_samples_keep_means_and_variances_of_their_own() -> None:
    """Features have mean 0 and variance 1; samples have neither in common."""
    y = nn.BatchNorm1d(32)(torch.randn(64, 32) * 2 + 1).detach()

    assert unit(y, (0,))
    assert y.mean(1).std() > 0.1
    assert y.var(1).std() > 0.1
    assert VERDICTS["S3.2"] == "fails"


def test_s3_3_the_offset_moves_the_mean_the_scale_the_deviation() -> None:
    """Of the outputs of one batch."""
    norm, x = nn.BatchNorm1d(32), torch.randn(64, 32) * 2 + 1
    plain = norm(x).detach()
    nn.init.constant_(norm.bias, 3.0)
    shifted = norm(x).detach()
    nn.init.constant_(norm.weight, 2.0)
    scaled = norm(x).detach()

    assert torch.allclose(shifted.var(0), plain.var(0), rtol=1e-5)
    assert torch.allclose(shifted.mean(0) - plain.mean(0), torch.full((32,), 3.0), atol=1e-5)
    assert torch.allclose(scaled.std(0), 2 * plain.std(0), rtol=1e-5)
    assert VERDICTS["S3.3"] == "fails"


def test_s4_1_each_norm_normalises_over_its_axes() -> None:
    """PyTorch's modules on images, 4 groups: over its own axes, and no other norm's."""
    x = torch.randn(8, 64, 8, 8) * (1 + torch.arange(64).view(-1, 1, 1)) + torch.arange(8).view(
        -1, 1, 1, 1
    )
    outputs = {
        (0, 2, 3): nn.BatchNorm2d(64, affine=False)(x),
        (1, 2, 3): nn.LayerNorm([64, 8, 8], elementwise_affine=False)(x),
        (2, 3): nn.InstanceNorm2d(64)(x),
    }
    grouped = nn.GroupNorm(4, 64, affine=False)(x).reshape(8, 4, -1)

    assert all(unit(y, over) for over, y in outputs.items())
    assert unit(grouped, (2,))
    assert not unit(outputs[0, 2, 3], (1, 2, 3))
    assert not unit(outputs[1, 2, 3], (0, 2, 3))


def test_s4_3_a_grouped_convolution_doubles_with_its_input() -> None:
    """Group norm does not."""
    x, weight, norm = torch.randn(4, 8, 6, 6), torch.randn(8, 2, 3, 3), nn.GroupNorm(4, 8)
    doubled, plain = (functional.conv2d(part, weight, groups=4) for part in (2 * x, x))

    assert torch.allclose(doubled, 2 * plain)
    assert torch.allclose(norm(2 * x), norm(x), atol=1e-4)


@pytest.mark.parametrize("shape", [(5,), (5, 4), (5, 4, 3)])
def test_s4_5_group_norm_takes_any_dimensions(shape: tuple[int, ...]) -> None:
    """1-D, 2-D, 3-D."""
    y = nn.GroupNorm(4, 8, affine=False)(torch.randn(3, 8, *shape) + 1).reshape(3, 4, -1)

    assert unit(y, (2,))


@pytest.mark.parametrize("n", [2, 8, 32768])
def test_s4_6_unbiased_variances_make_outputs_smaller(n: int) -> None:
    """By √((n − 1)/n) of PyTorch's layer norm."""
    x = torch.randn(4, n, dtype=torch.float64)
    own = (x - x.mean(1, keepdim=True)) / (x.var(1, keepdim=True) + 1e-5).sqrt()
    ratio = own.norm() / functional.layer_norm(x, (n,), eps=1e-5).norm()

    assert ratio.item() == pytest.approx(((n - 1) / n) ** 0.5, rel=1e-3)


def test_s4_7_layer_norm_sees_one_example() -> None:
    """Alone and among 63 others; batch norm sees the others."""
    x, layer, batch = torch.randn(64, 32), nn.LayerNorm(32), nn.BatchNorm1d(32)

    assert torch.allclose(layer(x[:1]), layer(x)[:1], atol=1e-6)
    assert not torch.allclose(batch(x[:2])[:1], batch(x)[:1], atol=1e-2)

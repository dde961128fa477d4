"""Pictures on demand: histograms of every layer and the fitted curve, from a stored training."""

from typing import Any

import numpy as np
import pytest
import torch
from conftest import SMALL, Command
from reference import PlainMlp, batch_norm
from torch import nn

import normexp
from normexp.data.draw import draw
from normexp.engine.observe import observe
from normexp.engine.pictures import pictures
from normexp.engine.train import train

SIZES = ["model.depth=3", "data.train_size=90", "data.test_size=50", "train.epochs=2",
         "train.dtype=float64", "seed=2"]  # fmt: skip


def oracle(record: Any, observation: Any) -> PlainMlp:  # noqa: ANN401
    """The network of a run after its training, running statistics put in."""
    network = PlainMlp(3, 10, norm=batch_norm(), input_norm=True).double()
    network.put({name: values[0, -1] for name, values in record.weights.items()})
    start = 0
    for norm in network.norms.values():
        assert isinstance(norm, nn.BatchNorm1d)
        end = start + norm.num_features
        norm.running_mean = observation.running_mean[-1, start:end]
        norm.running_var = observation.running_var[-1, start:end]
        start = end
    return network.eval()


def test_pictures_are_what_a_plain_network_shows() -> None:
    """NumPy's histograms before the norm and after the activation, as S1 has them; predictions."""
    (run,) = normexp.load("norm=batch", "norm.momentum=0.3", *SIZES).runs
    record, data = train([run.config]), draw(run.config)
    (observation,) = observe(record, [run.config], [0])
    ((found),) = pictures(record, [run.config], [0, 2])
    network = oracle(record, observation)
    expected: dict[tuple[str, str], torch.Tensor] = {("input", "pre_activation"): data.test_x.T}
    with torch.no_grad():
        prediction = network(data.test_x.T)[:, 0]
        x = network.normalize("input", data.test_x.T)
        expected["input", "activation"] = x
        for number in range(1, 4):
            x = network.layers[f"hidden{number}"](x)
            expected[f"hidden{number}", "pre_activation"] = x
            x = torch.tanh(network.normalize(f"hidden{number}", x))
            expected[f"hidden{number}", "activation"] = x
    ranges = {"pre_activation": (-4, 4), "activation": (-1, 1)}
    histograms, curve = found[2]

    assert list(found) == [0, 2]
    assert list(histograms) == list(expected)
    for (layer, values), x in expected.items():
        limits = (-7, 10) if layer == "input" else ranges[values]
        low, high, counts, total = histograms[layer, values]
        assert (low, high, total) == (*limits, x.numel())
        np.testing.assert_array_equal(counts, np.histogram(x.numpy(), bins=10, range=limits)[0])
    assert curve is not None
    np.testing.assert_array_equal(curve.x, data.test_x[0])
    np.testing.assert_array_equal(curve.y, data.test_y[0])
    np.testing.assert_allclose(curve.prediction, prediction)


def test_several_runs_are_looked_at_together() -> None:
    """Each as alone, to the bit; the mean square of a curve's errors is the run's test loss."""
    study = normexp.load("norm=batch", "norm.momentum=0.1,0.5,null", *SIZES)
    configs = [run.config for run in study.runs]
    record = train(configs[:1])
    together = pictures(record, configs, [1, 2])

    for config, found in zip(configs, together, strict=True):
        (alone,) = pictures(record, [config], [1, 2])
        (observation,) = observe(record, [config], [0])
        for point, (histograms, curve) in found.items():
            single = alone[point].curve
            assert curve is not None
            assert single is not None
            assert torch.equal(curve.prediction, single.prediction)
            for key, each in histograms.items():
                assert torch.equal(each.counts, alone[point].histograms[key].counts)
            loss = (curve.prediction - curve.y).square().mean()
            assert float(loss) == pytest.approx(float(observation.scores["loss"][point]), rel=1e-12)


def test_a_network_that_blew_up_still_has_pictures() -> None:
    """What is not a number is in no bin."""
    (run,) = normexp.load(*SMALL, "norm=none", "seed=0", "optim.lr=1e30").runs
    last = run.config.train.epochs
    (found,) = pictures(train([run.config]), [run.config], [0, last])

    assert int(found[0].histograms["hidden1", "activation"].counts.sum()) > 0
    assert int(found[last].histograms["hidden1", "pre_activation"].counts.sum()) == 0


def test_images_have_histograms_but_no_curve() -> None:
    """Of every layer of a LeNet, in pieces."""
    (run,) = normexp.load("data=digits", "model=lenet", "norm=batch", "norm.momentum=0.1",
                          "data.train_size=40", "data.test_size=20", "train.epochs=1",
                          "seed=0").runs  # fmt: skip
    (found,) = pictures(train([run.config]), [run.config], [1])

    layers = dict.fromkeys(layer for layer, _ in found[1].histograms)
    assert list(layers) == ["conv1", "conv2", "linear1", "linear2"]
    assert found[1].curve is None


def test_the_field_that_kept_them_is_gone(command: Command) -> None:
    """Who types it is told so in one line, and what to do."""
    done = command("sweep", *SMALL, "log.pictures=true")

    assert done.exit_code == 2
    assert "log.pictures is no longer a field" in done.stderr
    assert "leave out log.pictures" in done.stderr

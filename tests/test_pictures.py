"""What a report draws: histograms of every layer and the fitted curve."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from conftest import SMALL
from reference import PlainMlp, batch_norm
from torch import nn

import normexp
from normexp.data.draw import draw
from normexp.engine.observe import observe
from normexp.engine.train import train

AsJson = Callable[..., Any]
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


def test_histograms_are_numpys_of_what_a_plain_network_gives(as_json: AsJson) -> None:
    """Pre-activations are the linear layer's output, before the norm, as S1's tutorial has them."""
    typed = ["norm=batch", "norm.momentum=0.3", *SIZES]
    (run,) = normexp.load(*typed).runs
    record = train([run.config])
    (observation,) = observe(record, [run.config], [0])
    network, data = oracle(record, observation), draw(run.config)
    expected: dict[tuple[str, str], torch.Tensor] = {("input", "pre_activation"): data.test_x.T}
    with torch.no_grad():
        x = network.normalize("input", data.test_x.T)
        expected["input", "activation"] = x
        for number in range(1, 4):
            x = network.layers[f"hidden{number}"](x)
            expected[f"hidden{number}", "pre_activation"] = x
            x = torch.tanh(network.normalize(f"hidden{number}", x))
            expected[f"hidden{number}", "activation"] = x
    answer = as_json("sweep", *typed)
    table = normexp.read(answer["directory"], table="histograms")
    last = table[table["step"] == table["step"].max()]
    ranges = {"pre_activation": (-4, 4), "activation": (-1, 1)}

    assert len(table) == 3 * 4 * 2 * 10
    for (layer, values), x in expected.items():
        part = last[(last["layer"] == layer) & (last["values"] == values)]
        limits = (-7, 10) if layer == "input" else ranges[values]
        counts, edges = np.histogram(x.numpy(), bins=10, range=limits)
        np.testing.assert_array_equal(part["count"], counts)
        np.testing.assert_allclose(part["low"], edges[:-1])
        np.testing.assert_allclose(part["high"], edges[1:])


def test_curves_are_the_predictions_over_the_test_points(as_json: AsJson) -> None:
    """x, y and what the network makes of x in evaluation mode, at every evaluation point."""
    typed = ["norm=batch", "norm.momentum=0.3", *SIZES]
    (run,) = normexp.load(*typed).runs
    record = train([run.config])
    (observation,) = observe(record, [run.config], [0])
    data = draw(run.config)
    answer = as_json("sweep", *typed)
    table = normexp.read(answer["directory"], table="curves")
    metrics = normexp.read(answer["directory"], table="metrics")
    last = table[table["step"] == table["step"].max()]
    with torch.no_grad():
        expected = oracle(record, observation)(data.test_x.T)[:, 0]
    error = (table["prediction"] - table["y"]) ** 2

    np.testing.assert_array_equal(last["x"], data.test_x[0])
    np.testing.assert_array_equal(last["y"], data.test_y[0])
    np.testing.assert_allclose(last["prediction"], expected)
    by_step = error.groupby(table["step"]).mean()
    np.testing.assert_allclose(by_step.to_numpy(), metrics["test_loss"].to_numpy())


def test_a_network_that_blew_up_still_has_its_pictures(as_json: AsJson) -> None:
    """What is not a number is in no bin."""
    answer = as_json("sweep", *SMALL, "norm=none", "seed=0", "optim.lr=1e30")
    table = normexp.read(answer["directory"], table="histograms")
    first, last = (table[table["step"] == step] for step in (0, table["step"].max()))

    assert answer["diverged"] == 1
    assert first["count"].sum() > 0
    hidden = last[(last["values"] == "pre_activation") & (last["layer"] != "input")]
    assert hidden["count"].sum() == 0


def test_pictures_can_be_had_later_and_stay(as_json: AsJson) -> None:
    """Asked for afterwards they are observed from the stored training; not asked for, they stay."""
    study = [*SMALL, "norm=none,batch", "norm.momentum=0.1", "seed=0"]
    plain = as_json("sweep", *study, "log.pictures=false")
    with pytest.raises(normexp.NormexpError, match=r"log\.pictures=true"):
        normexp.read(plain["directory"], table="histograms")
    later = as_json("sweep", *study, "log.pictures=true")
    again = as_json("plan", *study, "log.pictures=false")

    assert (later["to_train"], later["to_observe"]) == (0, 2)
    assert len(normexp.read(later["directory"], table="histograms")["run_id"].unique()) == 2
    assert again["cached"] == 2


def test_images_have_histograms_but_no_curve(as_json: AsJson) -> None:
    """Of every layer of a LeNet."""
    answer = as_json("sweep", "data=digits", "model=lenet", "norm=batch", "norm.momentum=0.1",
                     "data.train_size=40", "data.test_size=20", "train.epochs=1",
                     "seed=0")  # fmt: skip
    table = normexp.read(answer["directory"], table="histograms")

    assert list(table["layer"].unique()) == ["conv1", "conv2", "linear1", "linear2"]
    with pytest.raises(normexp.NormexpError, match="curves"):
        normexp.read(answer["directory"], table="curves")

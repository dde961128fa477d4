"""What `normexp.record` adds to a step of a ResNet-18: two copies train in turn, one recorded."""

import statistics
import time
from typing import Any

import torch
from torch import nn

import normexp


def overhead(steps: int) -> dict[str, float]:
    """Return processor time of a step without and with a recorder, and medians of their ratio."""
    plain, recorded = _network(), _network()
    recorder = normexp.record(*recorded)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(16, 3, 32, 32, generator=generator)
    y = torch.randint(10, (16,), generator=generator)
    pairs = [(_seconds(*plain, x, y), _seconds(*recorded, x, y)) for _ in range(steps)]
    start = time.process_time()
    for _ in range(steps):
        recorder.step()
    alone = (time.process_time() - start) / steps
    without = statistics.median(first for first, _ in pairs)
    return {
        "(f) ResNet-18: ms a step": 1e3 * without,
        "(f) recorded / plain step, median": statistics.median(b / a for a, b in pairs),
        "(f) the recorder alone: ms a step": 1e3 * alone,
        "(f) the same / step": alone / without,
    }


def _network() -> tuple[Any, torch.optim.Optimizer]:
    from transformers import ResNetConfig, ResNetForImageClassification

    torch.manual_seed(0)
    about = ResNetConfig(
        embedding_size=64, hidden_sizes=[64, 128, 256, 512], depths=[2, 2, 2, 2],
        layer_type="basic", num_labels=10,
    )  # fmt: skip
    model = ResNetForImageClassification(about).train()
    return model, torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)


def _seconds(
    model: Any,  # noqa: ANN401  transformers' class
    optimizer: torch.optim.Optimizer,
    x: torch.Tensor,
    y: torch.Tensor,
) -> float:
    start = time.process_time()
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(x).logits, y).backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return time.process_time() - start


if __name__ == "__main__":
    for name, figure in overhead(100).items():
        print(f"{name:40} {figure:.4f}")

"""Loops and networks that nobody here wrote: DDP, Lightning, a Trainer, ResNet-18, EfficientNet."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from own_nets import CLOSE, Oracle, SmallNet, assert_close, batches, loss_of, recorded
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

import normexp
from normexp.own.recorder import Recorder

QUIET = pytest.mark.filterwarnings("ignore")  # of other people's loops

ON_TWO = """
import json, sys
import torch
from torch import nn
from own_nets import CLOSE, Oracle, SmallNet, batches, loss_of, losses_on
import normexp
from normexp.errors import UsageError

meet, rank = f"file://{sys.argv[1]}", int(sys.argv[2])
torch.distributed.init_process_group("gloo", init_method=meet, rank=rank, world_size=2)
torch.manual_seed(0)
plain = SmallNet()
oracle = Oracle(plain)
model = nn.parallel.DistributedDataParallel(plain)
optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
recorder = normexp.record(model, optimizer)
for part in range(2):
    for batch in batches(10, seed=10 * part + rank):
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        optimizer.step()
    if rank == 0 and part == 0:
        print(json.dumps([oracle.errors(recorder), recorder.remarks()]))
        data = list(batches(2, seed=9))
        print(recorder.evaluate(losses_on(data), data)["estimator"].iloc[1])
    if rank == 1 and part == 0:
        try:
            recorder.evaluate(losses_on([]), [])
        except UsageError as error:
            print(error)
torch.distributed.barrier()
print("done")
torch.distributed.destroy_process_group()
"""


def test_in_ddp_the_first_process_records(tmp_path: Path) -> None:
    """It alone evaluates, without waiting for the others, whose buffers are overwritten by its."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent), "OMP_NUM_THREADS": "1"}
    commands = [[sys.executable, "-c", ON_TWO, str(tmp_path / "meet"), str(n)] for n in (0, 1)]
    processes = [
        subprocess.Popen(each, env=environment, stdout=subprocess.PIPE, text=True)
        for each in commands
    ]
    first, second = (each.communicate(timeout=120)[0].splitlines() for each in processes)

    assert [each.returncode for each in processes] == [0, 0]
    errors, remarks = json.loads(first[0])
    assert max(errors) < CLOSE[1]
    assert remarks == []
    assert first[1:] == ["ema", "done"]
    assert "overwritten by those of the first" in second[0]


@QUIET
def test_a_lightning_loop_is_read(tmp_path: Path) -> None:
    """Its closure runs inside of the optimizer's step."""
    lightning = pytest.importorskip("lightning")

    class Module(lightning.LightningModule):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.net = SmallNet()
            self.recorder: Recorder

        def training_step(self, batch: list[torch.Tensor], _: int) -> torch.Tensor:
            return loss_of(self.net, (batch[0], batch[1]))

        def configure_optimizers(self) -> torch.optim.Optimizer:
            optimizer, self.recorder = recorded(self.net)
            return optimizer

    torch.manual_seed(0)
    module = Module()
    oracle, (x, y) = Oracle(module.net), next(batches(1, size=160))
    trainer = lightning.Trainer(
        max_epochs=2, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, default_root_dir=tmp_path,
    )  # fmt: skip
    trainer.fit(module, DataLoader(TensorDataset(x, y), batch_size=16, shuffle=True))

    assert module.recorder.recording.steps == 20
    assert_close(oracle, module.recorder)


class Digits(Dataset[dict[str, torch.Tensor]]):
    """Handwritten digits of 32×32 pixels, as Hugging Face's models take them."""

    def __init__(self, rows: slice) -> None:
        x, y = load_digits(return_X_y=True)
        images = torch.tensor(x[rows], dtype=torch.float32).view(-1, 1, 8, 8) / 16
        self.x = nn.functional.interpolate(images, size=32)
        self.y = torch.tensor(y[rows])

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, place: int) -> dict[str, torch.Tensor]:
        return {"pixel_values": self.x[place], "labels": self.y[place]}


def resnet18() -> Any:  # noqa: ANN401
    """ResNet-18 by its configuration, narrow, with its 20 batch norms."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    about = transformers.ResNetConfig(
        num_channels=1, embedding_size=8, hidden_sizes=[8, 16, 32, 64], depths=[2, 2, 2, 2],
        layer_type="basic", num_labels=10,
    )  # fmt: skip
    return transformers.ResNetForImageClassification(about)


@QUIET
def test_a_trainer_loop_is_read(tmp_path: Path) -> None:
    """Hugging Face's, which wraps the optimizer; its batches are mappings."""
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    model = resnet18()
    oracle, (optimizer, recorder) = Oracle(model), recorded(model)
    arguments = transformers.TrainingArguments(
        output_dir=str(tmp_path), max_steps=8, per_device_train_batch_size=16, report_to=[],
        save_strategy="no", use_cpu=True, disable_tqdm=True,
    )  # fmt: skip
    transformers.Trainer(
        model, arguments, train_dataset=Digits(slice(160)), optimizers=(optimizer, None)
    ).train()
    assert_close(oracle, recorder, 10)
    loader = DataLoader(Digits(slice(48)), batch_size=16)

    def loss(net: Any) -> float:  # noqa: ANN401
        return float(np.mean([net(**batch).loss.item() for batch in loader]))

    table = recorder.evaluate(loss, loader, momenta=[0.1, 0.5])

    assert recorder.recording.steps == 8
    assert len(recorder.recording.layers.modules) == 20
    assert table["excess"].notna().all()


def trained_on_digits(model: nn.Module, steps: int, **settings: Any) -> Recorder:  # noqa: ANN401
    """A recorder after some steps of a network that takes images."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    recorder = normexp.record(model, optimizer, **settings)
    loader = DataLoader(Digits(slice(320)), batch_size=16)
    model.train()
    done = 0
    while done < steps:
        for batch in loader:
            optimizer.zero_grad()
            answers = model(batch["pixel_values"])
            answers = getattr(answers, "logits", answers)
            nn.functional.cross_entropy(answers, batch["labels"]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            done += 1
            if done == steps:
                break
    return recorder


def losses_of_digits(model: Any) -> torch.Tensor:  # noqa: ANN401
    """Losses of images that were not trained on."""
    data = Digits(slice(320, 420))
    answers = model(data.x)
    answers = getattr(answers, "logits", answers)
    return nn.functional.cross_entropy(answers, data.y, reduction="none")


@QUIET
@pytest.mark.parametrize("keep", ["every", "bank"])
def test_a_resnet_agrees_with_twins(keep: str) -> None:
    """The loss at a momentum is that of a ResNet-18 trained with it, weights equal to the bit."""
    model = resnet18()
    recorder = trained_on_digits(model, 24, keep=keep)
    table = recorder.evaluate(losses_of_digits, [Digits(slice(64)).x], momenta=[0.02, 0.4])
    for place, momentum in enumerate((0.02, 0.4), start=1):
        twin = resnet18()
        for norm in recorder.recording.layers.modules:
            twin.get_submodule(norm).momentum = momentum
        trained_on_digits(twin, 24)
        with torch.no_grad():
            expected = float(losses_of_digits(twin.train(mode=False)).mean())

        for name, weight in model.named_parameters():
            assert torch.equal(weight, twin.get_parameter(name))
        most = 10 * float(table["l1"][place])
        assert table["value"][place] == pytest.approx(expected, rel=1e-5 + most)


@QUIET
def test_an_efficientnet_is_read() -> None:
    """49 batch norms of momentum .01, some of whose channels vary too little to be told from 0."""
    package = pytest.importorskip("efficientnet_pytorch")
    torch.manual_seed(0)
    model = package.EfficientNet.from_name("efficientnet-b0", in_channels=1, num_classes=10)
    oracle = Oracle(model)
    recorder = trained_on_digits(model, 4)
    recorder.recording.flush()
    rows = recorder.recording.history.rows  # type: ignore[union-attr]
    apart = []
    for name, span in recorder.recording.layers.spans.items():
        mean, var = (torch.stack(each) for each in zip(*oracle.seen[name], strict=True))
        apart.append(((rows.statistics[:, span] - mean).abs() / var.sqrt()).flatten())

    assert len(apart) == 49
    assert torch.cat(apart).median() < 1e-5

"""Loops that nobody here wrote: data parallel, Lightning's, Hugging Face's Trainer."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from own_nets import (
    CLOSE,
    Listen,
    SmallNet,
    assert_twins,
    batches,
    digits,
    loss_of,
    losses_on,
    resnet18,
)
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

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
        def __init__(self, net: SmallNet, listen: Listen) -> None:
            super().__init__()
            self.net, self.listen = net, listen

        def training_step(self, batch: list[torch.Tensor], _: int) -> torch.Tensor:
            return loss_of(self.net, (batch[0], batch[1]))

        def configure_optimizers(self) -> torch.optim.Optimizer:
            optimizer = torch.optim.SGD(self.net.parameters(), lr=0.05, momentum=0.9)
            self.listen(self.net, optimizer)
            return optimizer

    def loop(net: SmallNet, listen: Listen) -> None:
        trainer = lightning.Trainer(
            max_epochs=4, accelerator="cpu", logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False, default_root_dir=tmp_path,
        )  # fmt: skip
        data = TensorDataset(*next(batches(1, size=160)))
        trainer.fit(Module(net, listen), DataLoader(data, batch_size=16, shuffle=True))

    tests = list(batches(2, seed=1))
    recorder, _ = assert_twins(SmallNet, loop, losses_on(tests), tests[0][0])

    assert recorder.recording.steps == 40


class Items(Dataset[dict[str, torch.Tensor]]):
    """Digits as Hugging Face's models take them."""

    def __len__(self) -> int:
        return 320

    def __getitem__(self, place: int) -> dict[str, torch.Tensor]:
        x, y = digits(320)[place]
        return {"pixel_values": x, "labels": y}


@QUIET
@pytest.mark.parametrize("accumulated", [1, 2])
def test_a_trainer_loop_is_read(tmp_path: Path, accumulated: int) -> None:
    """Hugging Face's: told of before it begins, or by a callback, with two batches a step."""
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")

    def loop(model: nn.Module, listen: Listen) -> None:
        class Told(transformers.TrainerCallback):  # type: ignore[misc, name-defined]
            def on_train_begin(self, *_: object, **given: Any) -> None:  # noqa: ANN401
                if accumulated == 2:
                    listen(given["model"], given["optimizer"])  # in accelerate's wrapper

        optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
        if accumulated == 1:
            listen(model, optimizer)
        arguments = transformers.TrainingArguments(
            output_dir=str(tmp_path), num_train_epochs=1, per_device_train_batch_size=8,
            gradient_accumulation_steps=accumulated, report_to=[], save_strategy="no",
            use_cpu=True, disable_tqdm=True,
        )  # fmt: skip
        trainer = transformers.Trainer(
            model, arguments, train_dataset=Items(), optimizers=(optimizer, None), callbacks=[Told]
        )
        trainer.train()

    x, y = digits(100, 1280).tensors

    def losses(model: Any) -> torch.Tensor:  # noqa: ANN401
        return nn.functional.cross_entropy(model(x).logits, y, reduction="none")

    recorder, _ = assert_twins(resnet18, loop, losses, x[:64], per_forward=accumulated == 2)

    assert (recorder.recording.steps, recorder.recording.updates) == (40 // accumulated, 40)

"""`normexp audit`: the verdict on a finished model of the user's, of which no training is known."""

import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FunctionType

from torch import nn

from normexp.errors import NormexpError, UsageError, describe, pick
from normexp.own.checkpoint import load
from normexp.own.evaluate import Candidate, Evaluated, Question, mixed, own_momentum, scored
from normexp.own.layers import bare, plain, tracked
from normexp.own.population import population
from normexp.own.verdict import Verdict, judge

SHARES = (0.1, 0.25, 0.5, 0.75, 0.9)
"""Of the population's statistics in a mix with the model's own."""

RETURNS = "it has to return model, train_loader, evaluate, where evaluate(model) gives a number"


def audit(question: Question, tolerance: float | None = None) -> tuple[Evaluated, Verdict]:
    """Return scores under a model's own statistics, the population's, and others; and a verdict.

    The model is left exactly as it was.

    Args:
        question: the model, its training data, and what scores it.
        tolerance: what running statistics may cost; default: 1 %, or the interval if larger.
    """
    model, layers = question.model, tracked(question.model)
    own, right = layers.read(), population(model, question.train or (), question.forward_fn)
    candidates = [
        Candidate("own", own_momentum(layers)),
        *(Candidate("mix", None, mixed(own, right, each), share=each) for each in SHARES),
        Candidate("population", None, right),
    ]
    scores = [scored(question, layers, each.statistics) for each in candidates]
    scores.append(scored(question, layers, None, layers.modules))
    found = Evaluated(question, None, [*candidates, Candidate("batch")], scores)
    return found, judge(found, "normexp.recalibrate(model, train_loader)", tolerance=tolerance)


def asked(target: str, checkpoint: Path | None = None, *, higher_is_better: bool) -> Question:
    """Call the user's function, and load a checkpoint into the model that it returns.

    Args:
        target: `FILE.py:FUNCTION`; the file is run.
        checkpoint: of the model's weights, see `normexp.own.checkpoint`.
        higher_is_better: the score is an accuracy or the like.

    Raises:
        UsageError: there is no such function, or it returns something else; the checkpoint is not
            this model's.
    """
    name, _, function = target.rpartition(":")
    path = Path(name)
    if not (name and path.is_file()):
        raise UsageError(f"{target!r} is no function in a file", "type FILE.py:FUNCTION")
    returned = _function(path, function)()
    if not isinstance(returned, tuple) or len(returned) not in (3, 4):
        raise UsageError(f"{target} returned {type(returned).__name__}", RETURNS)
    model, loader, score, *forward_fn = returned
    if not (isinstance(model, nn.Module) and callable(score)):
        raise UsageError(f"{target} returned no module first, or nothing to call third", RETURNS)
    if checkpoint is not None:
        _fill(bare(model), checkpoint)
    forward = forward_fn[0] if forward_fn else None
    return Question(score, loader, forward, {}, model, (), higher_is_better)


def _function(path: Path, name: str) -> Callable[[], object]:
    """Run the user's file, and return a function of it."""
    spec = importlib.util.spec_from_file_location("audited", path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path} is no Python file", "type FILE.py:FUNCTION")
    module = sys.modules["audited"] = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent.resolve()))  # as `python FILE.py` has it
    spec.loader.exec_module(module)
    functions: dict[str, Callable[[], object]] = {
        name: each for name, each in vars(module).items() if isinstance(each, FunctionType)
    }
    return pick(name, functions, f"{path}: function")


def _fill(model: nn.Module, checkpoint: Path) -> None:
    """Load the first state dict that has this model's names."""
    names = {plain(name): name for name in model.state_dict()}
    for state in load(checkpoint).values():
        found = {names.get(plain(name), name): value for name, value in state.items()}
        if found.keys() == set(names.values()):
            try:
                model.load_state_dict(found)
            except RuntimeError as error:  # sizes differ
                reason = str(error).splitlines()[-1].strip()
                raise UsageError(f"{checkpoint} is not of this model: {reason}") from error
            return
    raise UsageError(
        f"{checkpoint} has no state dict with the names of this model",
        f"it has {len(names):,}, of which the first is {next(iter(names), 'none')}",
    )


@contextmanager
def of_user(target: str) -> Iterator[None]:
    """Turn errors of the user's code into one line."""
    try:
        yield
    except NormexpError:
        raise
    except Exception as error:
        raise UsageError(f"{target}: {describe(error)}", "--debug shows where") from error

"""`normexp audit`: the verdict on a finished model of the user's, of which no training is known."""

from itertools import islice
from pathlib import Path

from torch import nn

from normexp.errors import UsageError
from normexp.nets.source import function_in
from normexp.own.checkpoint import load
from normexp.own.evaluate import Candidate, Evaluated, Question, mixed, own_momentum, scored
from normexp.own.layers import bare, plain, tracked, unchanged
from normexp.own.population import population
from normexp.own.verdict import Verdict, judge

SHARES = (0.1, 0.25, 0.5, 0.75, 0.9)
"""Of the population's statistics in a mix with the model's own."""

RETURNS = "it has to return model, train_loader, evaluate, where evaluate(model) gives a number"


def audit(
    question: Question, tolerance: float | None = None, batches: int | None = None
) -> tuple[Evaluated, Verdict]:
    """Return scores under a model's own statistics, the population's, and others; and a verdict.

    The model is left exactly as it was.

    Args:
        question: the model, its training data, and what scores it.
        tolerance: what running statistics may cost, in units of the score; default: 1 % of it, or
            the interval if larger.
        batches: of the training data, as many at most; default: all.
    """
    model, layers = question.model, tracked(question.model)
    own, loader = layers.read(), () if question.train is None else question.train
    with unchanged(model, loader):
        right = population(model, islice(loader, batches), question.forward_fn)
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
    returned = function_in(target)()
    if not isinstance(returned, tuple) or len(returned) not in (3, 4):
        raise UsageError(f"{target} returned {type(returned).__name__}", RETURNS)
    model, loader, score, *forward_fn = returned
    if not (isinstance(model, nn.Module) and callable(score)):
        raise UsageError(f"{target} returned no module first, or nothing to call third", RETURNS)
    if checkpoint is not None:
        _fill(bare(model), checkpoint)
    forward = forward_fn[0] if forward_fn else None
    return Question(score, loader, forward, {}, model, (), higher_is_better or None)


def _fill(model: nn.Module, checkpoint: Path) -> None:
    """Load the first state dict that has this model's names; it may lack counts of batches."""
    own, differences = model.state_dict(), list[tuple[list[str], list[str]]]()
    names = {plain(name): name for name in own} | {name: name for name in own}
    for state in load(checkpoint).values():
        found = {names.get(e, names.get(plain(e), e)): value for e, value in state.items()}
        lost = [e for e in own if e not in found and not e.endswith("num_batches_tracked")]
        more = [name for name in found if name not in own]
        differences.append((lost, more))
        if not lost and not more:
            try:
                model.load_state_dict(found)
            except RuntimeError as error:  # sizes differ
                reason = str(error).splitlines()[-1].strip()
                raise UsageError(f"{checkpoint} is not of this model: {reason}") from error
            return
    lost, more = min(differences, key=lambda each: len(each[0]) + len(each[1]))
    words = [f"lacks {lost[0]}"] * bool(lost) + [f"has {more[0]} besides"] * bool(more)
    raise UsageError(
        f"{checkpoint} has no state dict with the names of this model: it {' and '.join(words)}",
        "return the model of which torch.save(model.state_dict(), FILE) wrote it",
    )

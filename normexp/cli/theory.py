"""Momenta by theory and by convention: `predict` and `convert`."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from normexp.cli.app import RUNS, Answer, StoreDir, Words, command, warn_of_lost
from normexp.errors import UsageError

BatchSize = Annotated[int | None, typer.Option("--batch-size", help="Examples in a batch.")]


@command()
def predict(  # noqa: PLR0913  a number each
    wanted: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN|STUDY", help="Stored trainings, judged by their training data."
        ),
    ] = None,
    words: Words = None,
    *,
    steps: Annotated[
        int | None, typer.Option(help="Updates of the running statistics before evaluation.")
    ] = None,
    batch_size: BatchSize = None,
    momentum: Annotated[
        str, typer.Option(metavar="A[,A]...", help="Momenta to show beside the usual ones.")
    ] = "",
    drift: Annotated[
        float | None,
        typer.Option(help="How far the true mean moves in a step, in σ (default: four are tried)."),
    ] = None,
    train_size: Annotated[
        int | None, typer.Option(help="Training examples (default: every batch is drawn anew).")
    ] = None,
    drop_last: Annotated[
        bool, typer.Option("--drop-last", help="Leave out a smaller last batch.")
    ] = False,
    no_shuffle: Annotated[
        bool, typer.Option("--no-shuffle", help="The same order of batches every epoch.")
    ] = False,
    initial_error: Annotated[
        float | None,
        typer.Option(
            help="Distance of the initial value from the truth at the end, in σ (default: 1)."
        ),
    ] = None,
    directory: StoreDir = RUNS,
) -> Answer:
    """Predict the error of each momentum, and the best one.

    From numbers: the expected error of a running mean at evaluation, in standard deviations σ of
    the activations: the rest of the initial value, the lag behind drifting weights, and sampling
    noise. The best momentum depends on the drift; without --drift four are shown.
    From stored trainings: the loss on their training data in evaluation mode under each momentum;
    no test loss is used.

    Example:
      normexp predict --steps 384 --batch-size 64
      normexp predict --steps 384 --batch-size 64 --train-size 2000 --drift 0.01
      normexp predict --steps 100 --batch-size 8 --momentum 0.2,0.05 --json
      normexp predict bn_regression
    """
    momenta = _momenta(momentum)
    if wanted is not None:
        numbers = {
            "--steps": steps,
            "--batch-size": batch_size,
            "--train-size": train_size,
            "--drift": drift,
            "--initial-error": initial_error,
            "--drop-last": drop_last or None,
            "--no-shuffle": no_shuffle or None,
        }
        if given := [option for option, value in numbers.items() if value is not None]:
            raise UsageError(
                f"{' '.join(given)} does not go with {wanted}: a stored training has its own "
                "numbers",
                f"type normexp predict {shlex.quote(wanted)}, or the numbers alone",
            )
        return _predict_stored(directory, wanted, words or [], momenta)
    from normexp.console.theory import print_drifts, print_prediction
    from normexp.theory.predict import order_of
    from normexp.theory.predict import predict as predictions_of
    from normexp.theory.setting import Setting

    if steps is None or batch_size is None:
        raise UsageError(
            "--steps and --batch-size are needed",
            "type normexp predict --steps 384 --batch-size 64, or the name of stored runs",
        )
    try:
        setting = Setting(
            updates=steps,
            batch_size=batch_size,
            train_size=train_size,
            order=order_of(train_size, shuffle=not no_shuffle, drop_last=drop_last),
            drop_last=drop_last,
            initial_error=1.0 if initial_error is None else initial_error,
        )
        found = predictions_of(setting, momenta, drift)
    except UsageError as error:
        hint = error.hint or "normexp predict --help says what each number is"
        raise UsageError(error.message, hint) from None
    return Answer(
        found,
        lambda _: print_drifts(found, momenta) if drift is None else print_prediction(found[0]),
    )


def _momenta(text: str) -> list[float]:
    """The numbers of a list with commas.

    Raises:
        UsageError: one is not a number.
    """
    try:
        return [float(part) for part in text.split(",")] if text.strip() else []
    except ValueError:
        raise UsageError(
            f"--momentum is {text!r}; it must be numbers from 0 to 1 with commas between them",
            "type --momentum 0.1,0.01",
        ) from None


def _predict_stored(directory: Path, wanted: str, words: list[str], momenta: list[float]) -> Answer:
    from normexp.console.budget import print_forecasts
    from normexp.insight.forecast import as_data, forecasts
    from normexp.study.asked import as_asked

    lost: list[Path] = []
    found, notes = forecasts(directory, wanted, momenta, as_asked(words), lost=lost)
    warn_of_lost(lost, notes)
    return Answer(found, print_forecasts, data=lambda found: [*map(as_data, found)])


@command(context_settings={"ignore_unknown_options": True})  # -1 is a value
def convert(  # noqa: PLR0913  the options of a command line
    value: Annotated[
        str | None, typer.Argument(help="The momentum as typed there; null is None.")
    ] = None,
    *,
    source: Annotated[
        str, typer.Option("--from", metavar="FRAMEWORK", help="The framework it comes from.")
    ] = "torch",
    target: Annotated[
        str, typer.Option("--to", metavar="FRAMEWORK", help="The framework it goes to.")
    ] = "torch",
    batch_size: BatchSize = None,
    values: Annotated[
        int | None,
        typer.Option(
            help="Values a channel in a batch, N·H·W of images, for the ratio of variances "
            "(default: the batch size).",
        ),
    ] = None,
    show_all: Annotated[
        bool, typer.Option("--list", help="Show the conventions of all frameworks.")
    ] = False,
) -> Answer:
    """Convert a momentum to another framework.

    Without a value: the conventions of all frameworks, read in their sources.

    Example:
      normexp convert 0.99 --from keras --to torch --batch-size 32
      normexp convert --list
    """
    from normexp.console.theory import print_conversion, print_frameworks
    from normexp.theory.convert import convert as converted
    from normexp.theory.frameworks import FRAMEWORKS

    if value is None or show_all:
        return Answer([*FRAMEWORKS.values()], print_frameworks)
    answer = converted(value, source, target, batch_size, values)
    return Answer(answer, print_conversion)

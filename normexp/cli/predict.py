"""What theory expects of a momentum: `predict`."""

from pathlib import Path
from typing import Annotated

import typer

from normexp.cli.app import (
    AsJson,
    Debug,
    Places,
    StoreDir,
    app,
    print_json,
    print_notes,
    reporting,
    warn_of_lost,
)
from normexp.errors import UsageError

HINT = "normexp predict --help says what each number is"

NEEDED = "type normexp predict --steps 384 --batch-size 64, or the name of stored runs"


@app.command()
def predict(  # noqa: PLR0913, PLR0917  a number each
    wanted: Annotated[
        str | None,
        typer.Argument(
            metavar="[RUN|STUDY]", help="Stored trainings, judged by their training data."
        ),
    ] = None,
    places: Places = None,
    steps: Annotated[
        int | None, typer.Option(help="Updates of the running statistics before evaluation.")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Examples in a batch.")] = None,
    momentum: Annotated[
        str, typer.Option(metavar="A[,A]...", help="Momenta to show beside the usual ones.")
    ] = "",
    drift: Annotated[
        float | None,
        typer.Option(help="How far the true mean moves in a step, in σ; without, four are tried."),
    ] = None,
    train_size: Annotated[
        int | None, typer.Option(help="Training examples; without, every batch is drawn anew.")
    ] = None,
    drop_last: Annotated[  # noqa: FBT002
        bool, typer.Option("--drop-last", help="Leave out a smaller last batch.")
    ] = False,
    no_shuffle: Annotated[  # noqa: FBT002
        bool, typer.Option("--no-shuffle", help="The same order of batches every epoch.")
    ] = False,
    initial_error: Annotated[
        float | None,
        typer.Option(help="The initial value's distance from the truth at the end, in σ; or 1."),
    ] = None,
    directory: StoreDir = Path("runs"),
    as_json: AsJson = False,  # noqa: FBT002
    debug: Debug = False,  # noqa: FBT002
) -> None:
    """Say what to expect of each momentum, and which is best, without training anything.

    From numbers: the expected error of a running mean at evaluation, which is what is left of the
    initial value, the lag behind drifting weights, and sampling noise, in standard deviations σ of
    the activations; the best momentum depends on the drift, and without --drift four are shown.
    Of stored trainings: the loss on their training data in evaluation mode under each momentum,
    and no test loss is looked at.

    \b
    Example:
      normexp predict --steps 384 --batch-size 64
      normexp predict --steps 384 --batch-size 64 --train-size 2000 --drift 0.01
      normexp predict --steps 100 --batch-size 8 --momentum 0.2,0.05 --json
      normexp predict bn_regression
    """  # noqa: D301  \b keeps the lines of the example apart
    with reporting(debug=debug):
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
            _refuse([option for option, value in numbers.items() if value is not None], wanted)
            _predict_stored(directory, wanted, places or [], _momenta(momentum), as_json=as_json)
            return
        from normexp.theory.predict import order_of
        from normexp.theory.predict import predict as predictions_of
        from normexp.theory.setting import Setting

        try:
            if steps is None or batch_size is None:
                raise UsageError("--steps and --batch-size are needed", NEEDED)  # noqa: TRY301
            setting = Setting(
                updates=steps,
                batch_size=batch_size,
                train_size=train_size,
                order=order_of(train_size, shuffle=not no_shuffle, drop_last=drop_last),
                drop_last=drop_last,
                initial_error=1.0 if initial_error is None else initial_error,
            )
            asked = _momenta(momentum)
            predictions = predictions_of(setting, asked, drift)
        except UsageError as error:
            raise UsageError(error.message, error.hint or HINT) from None
        if as_json:
            print_json([each.as_dict() for each in predictions])
        else:
            from normexp.console.predict import print_drifts, print_predictions

            if drift is None:
                print_drifts(predictions, asked)
            else:
                print_predictions(predictions)


def _refuse(given: list[str], wanted: str) -> None:
    """Numbers beside stored trainings, which have their own."""
    if given:
        raise UsageError(
            f"{' '.join(given)} does not go with {wanted}: a stored training has its own numbers",
            f"type normexp predict {wanted}, or the numbers alone",
        )


def _predict_stored(
    directory: Path, wanted: str, places: list[str], momenta: list[float], *, as_json: bool
) -> None:
    """Of stored trainings, cell by cell."""
    from normexp.insight.forecast import as_data, forecasts
    from normexp.store.places import typed_places

    found, notes = forecasts(directory, wanted, momenta, typed_places(places))
    print_notes(notes)
    warn_of_lost(directory, wanted)
    if as_json:
        print_json([as_data(each) for each in found])
    else:
        from normexp.console.forecast import print_forecasts

        print_forecasts(found)


def _momenta(text: str) -> list[float]:
    """The numbers of a list with commas.

    Raises:
        UsageError: one is none.
    """
    try:
        return [float(part) for part in text.split(",")] if text.strip() else []
    except ValueError:
        raise UsageError(
            f"--momentum is {text!r}; it must be numbers from 0 to 1 with commas between them",
            "type --momentum 0.1,0.01",
        ) from None

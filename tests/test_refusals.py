"""What is refused on the command line: one line that says what is wrong, one what to type."""

from pathlib import Path

import pytest
from conftest import Command

import normexp as package
from normexp.cli import app
from normexp.cli.words import HINTS, WORDS
from normexp.errors import UsageError

LENET = "data=digits model=lenet"
INSIDE = "a sweep cannot stand inside of another"
NUMBERS = "three finite numbers are needed, the step other than 0"

REFUSED: dict[str, tuple[str, str]] = {
    # The grammar
    "seed=range(0,8,0)": (f"range(0,8,0): {NUMBERS}", "range(8)"),
    "seed=sort(range(0,8,0))": (NUMBERS, "range(8)"),
    "seed=shuffle(range(0.0,8,0))": (NUMBERS, "range(8)"),
    "seed=int(range(0,4,0.5))": ("range(0,4,0)", "range(8)"),
    "norm.momentum=range(nan,1)": (NUMBERS, "range(0.1,0.5,0.1)"),
    "norm.momentum=range(0,inf)": (NUMBERS, "range(0.1,0.5,0.1)"),
    "norm.momentum=range(0,1,1e-30)": ("more than 1,000,000 values", "a larger step"),
    "seed=range(1000000000)": ("more than 1,000,000 values", ""),
    "seed=range(0)": ("seed has no values", "seed=range(8)"),
    "norm=glob(x*)": ("norm has no values", ""),
    "seed=choice(0.1,0.2),0.3": (INSIDE, "type seed=A,B,C"),
    "seed=interval(0,1),5": (INSIDE, "type seed=A,B,C"),
    "seed=[range(3)]": (INSIDE, "type seed=A,B,C"),
    "norm=glob(b*),none": (INSIDE, "type norm=A,B,C"),
    "train={epochs:choice(1,2)}": (INSIDE, "type train.FIELD=A,B,C"),
    "seed=5,{}": ("seed={}: a whole number from 0 is needed", "seed=0"),
    "norm.momentum=0.3,{}": ("norm.momentum={}: one value is needed", "norm.momentum=VALUE"),
    "norm.momentum=[0.1,0.2]": ("one value is needed", "norm.momentum=VALUE"),
    "train={epochs:{}}": ("train.epochs={}: one value is needed", "train.epochs=VALUE"),
    "norm={}": ("norm={}: one of batch,", "type norm=batch, or norm.FIELD=VALUE"),
    "norm=[batch,none]": ("not a collection", "norm.FIELD=VALUE"),
    "data.path=~/mine.npz": ("no '~' can stand where it does", "quotes within the shell's"),
    "seed=é": ("is not in Hydra's override grammar", "quotes within the shell's"),
    "seed=[1,2": ("is not in Hydra's override grammar", "key=value"),
    f"seed={'9' * 5000}": ("is not in Hydra's override grammar", "key=value"),
    f"seed={'[' * 3000}{']' * 3000}": ("is not in Hydra's override grammar", "key=value"),
    "bn_regression": ("it has no '='", "type study=bn_regression"),
    "ghost": ("it has no '='", "type norm=ghost"),
    "momentm": ("it has no '='", "type norm.momentum=VALUE"),
    "optim": ("it has no '='", "type optim=CHOICE"),
    "train.epochs=${train.nowhere}": (
        "train.epochs does not resolve: Interpolation key 'train.nowhere' not found",
        "${train.batch_size}",
    ),
    "train.epochs=${train.epochs}": ("train.epochs does not resolve: Recursive", "type a value"),
    "train.epochs='${'": ("train.epochs does not resolve", "type a value"),
    "norm.momentum_schedule=exponential norm.final_momentum=0": ("needs momenta above 0", ""),
    "norm.estimator=divided norm.momentum=0": ("needs a momentum above 0", ""),
    "norm.estimator=debaised": ("", "did you mean norm.estimator=debiased"),
    "norm.mix=1.5": ("from 0 to 1", ""),
    "norm.window=0": ("from 1", ""),
    "norm.initial_var=-1": ("from 0", ""),
    "norm/framework=kers": ("", "did you mean keras or tf_keras?"),
    "norm/framework=mindspore": ("'mindspore' is unknown; there is caffe,", ""),
    "framework=keras": ("", "did you mean norm/framework?"),
    "+norm/framework=keras": ("", "type norm/framework=keras"),
    "norm/framework=keras train.batch_size=1": (
        "Keras and Flax go on with a variance of 0",
        "type train.batch_size=2 or more",
    ),
    "norm.window=${seed}": ("norm.window=0: a whole number from 1", "norm.window=16"),
    "model=own": ("nothing says which", "type model.source=FILE.py:FUNCTION"),
    # What was recorded in a loop outside of normexp
    "data=loop": ("nothing else can train it", "recorder = normexp.record(model, optimizer)"),
    "optim=own": ("nothing else can train it", "recorder.save(DIR)"),
    # Names
    "norm.momentm=0.1": ("unknown key 'norm.momentm'", "did you mean norm.momentum or"),
    "momentum=0.1": ("unknown key 'momentum'", "norm.momentum"),
    "train=5": ("train=5: train is a section", "type train.FIELD=VALUE"),
    "train=null": ("train=null: train is a section", "type train.FIELD=VALUE"),
    "store=here": ("store=here: store is a section", "type store.FIELD=VALUE"),
    "train={epoch:3}": ("unknown key 'train.epoch'", "train.epochs"),
    "norm=bach": ("norm 'bach' is unknown; there is batch, batch_renorm, ", "did you mean batch?"),
    "norm=null": ("norm 'null' is unknown; there is batch, ", ""),
    "norm=BatchNorm2d": ("norm 'BatchNorm2d' is unknown", "did you mean batch or"),
    "norm=batchrenorm": ("norm 'batchrenorm' is unknown", "did you mean batch_renorm or"),
    "norm=LayerNorm": ("norm 'LayerNorm' is unknown", "did you mean layer?"),
    "study=bn_regresion": ("study 'bn_regresion' is unknown", "bn_regression"),
    "study=sub/mine.yaml": ("study 'sub/mine.yaml' is unknown", "--config-dir DIR study=mine"),
    "study=placement,bn_regression": ("a sweep is of one study", "once for each study"),
    "norm=none norm.momentum=0.1": ("norm.momentum=0.1: norm=none has no norm.momentum", "norm="),
    "norm=layer,rms norm.momentum=0.1,0.2": (
        "norm=layer, norm=rms has no norm.momentum, since it keeps no running statistics",
        "norm=batch",
    ),
    # Values
    "store.dir='a\0b'": ("a text in UTF-8 without NUL is needed", "use another name"),
    "store.dir='\udcff'": ("a text in UTF-8 without NUL is needed", "use another name"),
    "store.dir=": ("store.dir='': a text is needed", "store.dir=runs"),
    "norm.momentum=1.5": ("norm.momentum=1.5: a number from 0 to 1, or null", "norm.momentum=0.1"),
    "norm.momentum=nan": ("a number from 0 to 1, or null", ""),
    "norm.momentum=abc": ("norm.momentum='abc': a number from 0 to 1, or null", ""),
    "optim.lr=0": ("optim.lr=0: a number above 0", ""),
    "optim.lr=inf": ("optim.lr=inf: a number above 0", ""),
    "train.epochs=1.5": ("train.epochs=1.5: a whole number from 1", "train.epochs=12"),
    "train.epochs=true": ("train.epochs=true: a whole number from 1", ""),
    "train.drop_last=1": ("train.drop_last=1: true or false", ""),
    "model.activation=tan": ("=tan: tanh, relu", "did you mean model.activation=tanh"),
    "seed=-1": ("seed=-1: a whole number from 0", ""),
    # What a study has no use for
    "norm.kind=batch": ("a kind comes with its group", "type norm=CHOICE"),
    "executor=local,ray": ("no part of what a run is, it takes one value", "executor=local"),
    "log.every=1,2": ("log.every is no part of what a run is", "log.every=1"),
    "+norm.momentum=0.1": ("the schema is closed", "type norm.momentum=0.1"),
    "+optm.lr=1": ("the schema is closed", "optim.lr"),
    "norm.momentum=interval(0,1)": ("a study is a finite set of runs", "range("),
    "optim.lr=interval(1e-4,1)": ("an interval is not", "normexp search 'optim.lr=interval(1e-4,"),
    "hydra.run.dir=x": ("names its own directories", "store.dir"),
    "hydra/launcher=joblib": ("names its own directories", "executor.workers"),
    "norm@other=batch": ("groups cannot be put elsewhere", "norm=CHOICE"),
    "~norm": ("a run needs its norm", "norm=CHOICE"),
    "~train": ("a run needs its train", "type train.FIELD=VALUE"),
    "~norm.momentum=0.7": ("norm.momentum is 0.1", "~norm.momentum"),
    "study.axes.seed=3": ("replaced by typing their keys", "seed="),
    # Combinations
    "data.low=20": ("data.low=20 is not below data.high=10", "data.low=-7"),
    "data=digits data.test_size=500": ("there are 1,797 digits", "data.test_size=357"),
    "train.batch_size=3000 train.drop_last=true": (
        "train.drop_last=true leaves no batch",
        "train.batch_size=2000",
    ),
    "data.train_size=65": ("cannot normalise a batch of one", "train.drop_last=true"),
    "train.batch_size=1": ("cannot normalise a batch of one", "train.batch_size=2"),
    "norm=batch_renorm train.batch_size=1": ("cannot normalise a batch of one", ""),
    "norm=ema_train data.train_size=65": ("cannot normalise a batch of one", ""),
    "norm=ghost norm.size=21": ("virtual batches of norm.size=21 leaves one value", "norm.size="),
    "norm=ghost norm.size=1": ("virtual batches of norm.size=1 leaves one value", "norm.size="),
    "norm=batch,instance": ("norm=instance normalises each channel of an image, and hidden1", ""),
    "norm=group norm.groups=3": ("norm.groups=3 does not divide the 10 channels", "groups=2"),
    "norm=group norm.groups=5": ("norm=group has groups of 2 at hidden1", "norm.groups=2"),
    "norm=group norm.groups=3 model.width=2": (
        "norm.groups=3 does not divide the 2 channels of hidden1",
        "type norm=none or widen the network",
    ),
    "norm=group norm.groups=1 model.width=2": (
        "norm=group has groups of 2 at hidden1",
        "type norm=none or widen the network",
    ),
    "norm=layer model.width=2": ("norm=layer has groups of 2 at hidden1", "widen the network"),
    "optim=sgd optim.nesterov=true": ("optim.nesterov=true needs momentum", "optim.momentum=0.9"),
    "model=lenet": ("layer conv1 is a convolution and needs images", ""),
    f"{LENET} model.kernel=7": ("nothing is left of 2×2 pixels after layer conv2", ""),
    f"{LENET} model.kernel=3 model.padding=0": ("nothing is left of 1×1 pixels to pool", ""),
    f"{LENET} norm=instance model.linear_norm=true": ("linear1 gives vectors of 120", ""),
    f"{LENET} norm=batch train.batch_size=1": ("leaves one value a channel at linear1", ""),
    "model=resnet data=digits model.depth=21": ("a resnet has 6n + 2 layers", "model.depth=20"),
}
"""What a plan refuses: configurations, by what is typed."""

PREDICTED = {
    "": ("--steps and --batch-size are needed", ""),
    "--steps 10": ("--steps and --batch-size are needed", ""),
    "--steps 0 --batch-size 8": ("number of updates is 0", ""),
    "--steps 10 --batch-size -8": ("batch size is -8", ""),
    "--steps 10 --batch-size 8 --momentum 1.5": ("momentum is 1.5", ""),
    "--steps 10 --batch-size 8 --momentum nan": ("momentum is nan", ""),
    "--steps 10 --batch-size 8 --momentum 0.1,x": ("'0.1,x'", ""),
    "--steps 10 --batch-size 8 --momentum 0.1,": ("'0.1,'", ""),
    "--steps 10 --batch-size 8 --drift inf": ("drift is inf", ""),
    "--steps 10 --batch-size 8 --initial-error nan": ("initial error is nan", ""),
    "--steps 10 --batch-size 8 --train-size 0": ("training set's size is 0", ""),
    "--steps 10 --batch-size 8 --no-shuffle": ("--no-shuffle", ""),
    "--steps 10 --batch-size 8 --drop-last": ("--drop-last", ""),
    "--steps 10 --batch-size 8 --drop-last --train-size 7": ("no batch", ""),
}
CONVERTED = {
    "0.1 --from kers": ("--from 'kers' is unknown", "did you mean keras"),
    "0.1 --to flx": ("--to 'flx' is unknown", "did you mean flax"),
    "99 --from keras": ("momentum=99: a weight from 0 to 1", "0.99 if you mean 99 %"),
    "-0.1": ("momentum=-0.1: a weight from 0 to 1", "type a number from 0 to 1"),
    "1.5": ("momentum=1.5: a weight from 0 to 1", "type 0.015 if you mean 1.5 %"),
    "nan": ("momentum=nan: a number is needed", "type for example normexp convert 0.99"),
    "sNaN": ("momentum=sNaN: a number is needed", "type for example"),
    "much": ("momentum=much: a number is needed", "type for example normexp convert 0.99"),
    "null --from keras": ("Keras 3 has no momentum=null", "null --from torch"),
    "null --from caffe": ("Caffe has no", "it is moving_average_fraction=1 there"),
    "cumulative --from torch_instance": ("has no momentum=cumulative", ""),
    "0.1 --from fvcore": ("--from fvcore: it takes no momentum", "convert --list"),
    "0.1 --batch-size 0": ("--batch-size 0: a size from 1", "type 32"),
    "0.1 --values 0": ("--values 0: a size from 1", "type 32"),
    "5000 --from cntk": ("CNTK's normalizationTimeConstant is in", "--batch-size 32"),
}
COMPARED = {
    "bn_regression norm.momentm": ("unknown field", "did you mean norm.momentum"),
    "bn_regression norm.eps": ("one value in these runs, 1e-05", "norm.momentum"),
    "bn_regression data.rate": ("no run here has data.rate", "norm.momentum"),
    "bn_regression seed": ("seeds are what is averaged over", "norm.momentum"),
    "bn_regression norm.momentum=7": ("there is 0.1, null", "norm.momentum=0.1"),
    "bn_regression norm=group": ("there is none, batch", "norm=none"),
    "bn_regression norm --metric loss": ("unknown metric", "test_loss"),
}
STORED = {
    "predict bn_regression --steps 5": ("--steps does not go with bn_regression", ""),
    "predict bn_regression --drift 0": ("--drift does not go with bn_regression", ""),
    "predict bn_regression --drop-last": ("--drop-last does not go with bn_regression", ""),
    "predict bn_regression --momentum 2": ("at least 0 and at most 1", ""),
    "predict bn_regression --momentum a": ("numbers from 0 to 1", ""),
    **{f"compare {typed}": said for typed, said in COMPARED.items()},
}
"""What commands refuse of runs that are stored."""

ABSENT = {
    "compare bn_regresion norm": ("no study, sweep", "did you mean bn_regression?"),
    "predict nothing": ("no study, sweep, run or trajectory 'nothing'", ""),
    "reproduce nothing": ("'nothing'", ""),
    "why nothing": ("'nothing'", ""),
    "diff nothing 0123456789ab": ("no run", ""),
}
"""Runs that are not there: exit code 3."""

TYPED = {
    # Words of other tools, near misses, options whose variable is not set
    "plan --dry-run": ("", "normexp plan"),
    "sweep -m norm=batch": ("", "a,b,c, range() and choice() sweep by themselves"),
    "--multirun norm=batch": ("", "a,b,c, range() and choice() sweep by themselves"),
    "sweep --config-name mine": ("", "study=NAME"),
    "sweep -cn mine": ("", "study=NAME"),
    "sweep --config-path own": ("", "--config-dir DIR"),
    "plan --cfg job": ("", "normexp plan"),
    "sweep --resume": ("", "the same normexp sweep again"),
    "resume": ("", "the same normexp sweep again"),
    "sweep resume": ("", "the same normexp sweep again"),
    "list": ("", "normexp ls"),
    "plan list": ("", "normexp ls"),
    "remove batch-m0.1": ("", "normexp rm STUDY"),
    "run norm=batch": ("", "normexp sweep"),
    "sweep plan": ("", "normexp plan"),
    "norm=batch seed=0": ("", "normexp sweep norm=batch"),
    "sweep help": ("", "normexp COMMAND --help"),
    "swep": ("", "did you mean sweep?"),
    "sweep --jsn": ("", "type --json"),
    "sweep --configdir x": ("", "type --config-dir"),
    "sweep --seed 3": ("", "type seed=VALUE"),
    "plan --norm.momentum=0.3": ("", "type norm.momentum=VALUE"),
    "plan --batch-size 32": ("", "type train.batch_size=VALUE"),
    "plan --norm batch": ("", "type norm=CHOICE"),
    "sweep -j 4": ("", "executor.workers=N"),
    "sweep --foo": ("", "normexp sweep --help"),
    "report --seed 3": ("", "normexp report --help"),
    "ls --dir": ("", "normexp ls --help"),
    "ls a b c": ("'b' is not FIELD=VALUES", "norm.momentum=0.1"),
    "show": ("", "normexp show --help"),
    "plan --json=3": ("", "normexp plan --help"),
    "predict --steps x": ("", "normexp predict --help"),
    "--foo": ("", "normexp --help"),
    "predict --steps 10 --batch-size 4 --momentum 2": ("", ""),
    "plan --config-dir  norm=batch": ("", "leave --config-dir out"),
    "plan --config-dir= norm=batch": ("", "leave --config-dir out"),
    "ls --dir ": ("", "leave --dir out"),
    "ls --dir=": ("", "leave --dir out"),
    "report bn_regression --out ": ("", "leave --out out"),
    "ls --best 0": ("'--best': it has to be greater than or equal to 1", ""),
    "ls --best 1": ("of the runs of one study", "type normexp ls STUDY --best 3"),
    # Arguments
    "claims S9": ("no claim 'S9'; there is S0.1 to S4.9", ""),
    "claims S1.99": ("no claim 'S1.99'; there is S0.1 to S4.9", ""),
    "claims momentum": ("no claim 'momentum'; there is S0.1 to S4.9", ""),
    "why 64fdd590 bb21f7a0": ("", "type normexp diff 64fdd590 bb21f7a0"),
    "why a b seed=0": ("", ""),
    "why optim.speed=1": ("", ""),
    "why": ("", ""),
    "sweep seed=0 --on-code-change retrain": (
        "'retrain' is unknown; there is ignore, rerun, warn",
        "",
    ),
    **{f"plan {typed}": said for typed, said in REFUSED.items()},
    **{f"predict {typed}".strip(): said for typed, said in PREDICTED.items()},
    **{f"convert {typed}": said for typed, said in CONVERTED.items()},
}


def assert_refused(
    normexp: Command, typed: str, said: tuple[str, str], code: int = 2, *more: str
) -> None:
    """Two short lines on stderr, nothing on stdout."""
    result = normexp(*typed.split(" "), *more)
    error, hint = result.stderr.splitlines()

    assert result.exit_code == code
    assert result.stdout == ""
    assert error.startswith("error: ")
    assert hint.startswith("hint: ")
    assert said[0] in error
    assert said[1] in hint
    assert len(error) < 500


@pytest.mark.parametrize("typed", TYPED)
def test_bad_input_is_refused_with_what_to_type(normexp: Command, typed: str) -> None:
    """With exit code 2, and nothing on disk."""
    assert_refused(normexp, typed, TYPED[typed])
    assert not list(Path().iterdir())


@pytest.mark.parametrize("typed", [*STORED, *ABSENT])
def test_what_stored_runs_cannot_answer_is_refused(
    normexp: Command, typed: str, whole: Path
) -> None:
    """And what is not there."""
    said, code = (STORED[typed], 2) if typed in STORED else (ABSENT[typed], 3)

    assert_refused(normexp, typed, said, code, "--dir", str(whole))


@pytest.mark.parametrize(
    ("typed", "then"),
    [
        ("norm=ghost norm.size=7", "type norm.size=6"),
        (f"{LENET} norm=group norm.groups=4", "type norm.groups=2"),
        ("norm=group norm.groups=3", "type norm.groups=2"),
        ("norm=group norm.groups=5", "type norm.groups=2"),
        ("optim=sgd optim.nesterov=true", "type optim.momentum=0.9, or optim.nesterov=false"),
    ],
)
def test_the_hint_of_a_refusal_works(typed: str, then: str) -> None:
    """Typed beside what was refused."""
    with pytest.raises(UsageError) as refused:
        package.load(*typed.split(), "seed=0")

    assert refused.value.hint == then
    assert package.load(*typed.split(), "seed=0", then.removeprefix("type ").partition(",")[0]).runs


def test_no_word_is_a_command_or_has_two_hints() -> None:
    """A word of the table that became a command would say something false."""
    commands = {command.name or command.callback.__name__ for command in app.registered_commands}  # type: ignore[union-attr]
    named = {hint.split("normexp ")[1].split()[0] for hint in WORDS.values() if "normexp " in hint}

    assert not commands & set(WORDS)
    assert len(WORDS) == sum(len(words.split()) for words in HINTS.values())
    assert {name.rstrip(":,") for name in named} - {"--help", "--version", "COMMAND"} <= commands


def test_help_and_version_go_to_stdout(normexp: Command) -> None:
    """Exit code 0, wherever `--help` stands among the words."""
    flagged = ("--help", "sweep norm=batch --help", "plan -h", "--version")
    for typed in ("", "help", "help sweep", *flagged):
        shown = normexp(*typed.split())
        assert shown.exit_code == 0
        assert "normexp" in shown.stdout

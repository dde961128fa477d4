"""What is refused, with what to type instead; what is remarked; what has no effect."""

from pathlib import Path

import pytest
from conftest import Command
from test_grammar import study_file

import normexp as package
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
    "norm.window=${seed}": ("norm.window=0: a whole number from 1", "norm.window=16"),
    # What was recorded in a loop outside of normexp
    "model=own": ("recorded in a loop outside of normexp", "recorder.save(DIR)"),
    "data=loop": ("nothing else can train it", "recorder = normexp.record(model, optimizer)"),
    "optim=own": ("nothing else can train it", "recorder.save(DIR)"),
    # Names
    "norm.momentm=0.1": ("unknown key 'norm.momentm'", "did you mean norm.momentum or"),
    "momentum=0.1": ("unknown key 'momentum'", "norm.momentum"),
    "train={epoch:3}": ("unknown key 'train.epoch'", "train.epochs"),
    "norm=bach": ("norm 'bach' is unknown; there is batch, batch_renorm, ", "did you mean batch?"),
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
    "hydra.run.dir=x": ("names its own directories", "store.dir"),
    "hydra/launcher=joblib": ("names its own directories", "executor.workers"),
    "norm@other=batch": ("groups cannot be put elsewhere", "norm=CHOICE"),
    "~norm": ("a run needs its norm", "norm=CHOICE"),
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
    "norm=group norm.groups=5": ("norm=group has groups of 2 at hidden1", "a smaller norm.groups"),
    "norm=layer model.width=2": ("norm=layer has groups of 2 at hidden1", "a wider model"),
    "optim=sgd optim.nesterov=true": ("optim.nesterov=true needs momentum", "optim.momentum=0.9"),
    "model=lenet": ("layer conv1 is a convolution and needs images", ""),
    f"{LENET} model.kernel=7": ("nothing is left of 2×2 pixels after layer conv2", ""),
    f"{LENET} model.kernel=3 model.padding=0": ("nothing is left of 1×1 pixels to pool", ""),
    f"{LENET} norm=instance model.linear_norm=true": ("linear1 gives vectors of 120", ""),
    f"{LENET} norm=batch train.batch_size=1": ("leaves one value a channel at linear1", ""),
    "model=resnet data=digits model.depth=21": ("a resnet has 6n + 2 layers", "model.depth=20"),
}


@pytest.mark.parametrize("typed", REFUSED)
def test_bad_input_is_refused_with_what_to_type(typed: str) -> None:
    """Two short lines."""
    message, hint = REFUSED[typed]
    with pytest.raises(UsageError) as refused:
        package.load(*typed.split(" "))

    error = refused.value
    assert message in error.message
    assert hint in (error.hint or "")
    assert "\n" not in f"{error.message}{error.hint}"
    assert len(error.message) < 500


def test_a_refusal_is_an_error_and_a_hint_on_stderr(normexp: Command) -> None:
    """Exit code 2, and nothing on disk."""
    result = normexp("sweep", "norm.momentm=0.1")

    assert result.exit_code == 2
    assert result.stdout == ""
    assert [line.split()[0] for line in result.stderr.splitlines()] == ["error:", "hint:"]
    assert not list(Path().iterdir())


@pytest.mark.parametrize(
    ("typed", "then"),
    [
        ("norm=ghost norm.size=7", "type norm.size=6"),
        (f"{LENET} norm=group norm.groups=4", "type norm.groups=2"),
        ("norm=group norm.groups=3", "type norm.groups=2"),
        ("optim=sgd optim.nesterov=true", "type optim.momentum=0.9, or optim.nesterov=false"),
    ],
)
def test_the_hint_of_a_refusal_works(typed: str, then: str) -> None:
    """Typed beside what was refused."""
    with pytest.raises(UsageError) as refused:
        package.load(*typed.split(), "seed=0")

    assert refused.value.hint == then
    assert package.load(*typed.split(), "seed=0", then.removeprefix("type ").partition(",")[0]).runs


STUDIES = {
    "not YAML": ("a: [1", "do not compose"),
    "no values": ("study: {axes: {seed: []}}", "seed has no values"),
    "no step": ("study: {axes: {seed: 'range(0,8,0)'}}", NUMBERS),
    "a sweep inside": ("study: {axes: {seed: 'choice(1,2),3'}}", INSIDE),
    "a mapping inside": ("study: {axes: {seed: [{}, 1]}}", "a whole number from 0 is needed"),
    "a range as a text": ("study: {axes: {seed: ['range(3)']}}", "a whole number from 0"),
    "unknown part": ("study: {axis: {seed: 1}}", "'axis' where only 'about' and 'axes' can be"),
    "axes not a mapping": ("study: {axes: [seed]}", "not a mapping"),
    "unknown axis": ("study: {axes: {norm.momentm: 1}}", "norm.momentm"),
    "unknown choice": ("study: {axes: {norm: [bach, none]}}", "norm 'bach' is unknown"),
    "unknown field": ("train: {epoch: 3}", "train.epoch"),
    "a text for a group": ("norm: batch", "norm=batch: norm is a section"),
    "a number for a section": ("train: 5", "train=5: train is a section"),
    "a number for its parts": ("study: 5", "5 where only 'about' and 'axes' can be"),
    "a class by name": ("norm: {_target_: os.system}", "norm._target_"),
    "runtime per run": (
        "study: {axes: {norm: 'none,batch'}}\nstore: {dir: '${norm.kind}'}",
        "store.dir differs",
    ),
}


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_with_a_mistake_is_refused(name: str) -> None:
    """With a message that names it, and a hint."""
    text, message = STUDIES[name]
    with pytest.raises(UsageError) as refused:
        package.load("study=mine", config_dir=study_file(text))

    assert message in refused.value.message
    assert refused.value.hint


@pytest.mark.parametrize(
    ("text", "typed"),
    [
        ("model: 5", "model=lenet"),
        ("norm: batch", "norm=ghost"),
        ("norm: batch", "norm/framework=keras"),
        ("optim: adam", "optim.lr=0.1"),
        ("train: 5", "train.epochs=2"),
    ],
)
def test_a_value_for_a_section_is_refused_beside_what_is_typed(
    normexp: Command, text: str, typed: str
) -> None:
    """A plan that ends with exit code 2 and names the section."""
    result = normexp("plan", "study=mine", typed, "--config-dir", str(study_file(text)))

    assert result.exit_code == 2, result.output
    assert f"{text.partition(':')[0]} is a section" in result.stderr


@pytest.mark.parametrize("text", ["- 1\n", "study: {axes: {seed: 1}}\ntrain: {epochs: 3}\n"])
def test_a_study_without_its_first_line_is_refused(text: str) -> None:
    """The line that says where its values go."""
    own = study_file("")
    (own / "study/mine.yaml").write_text(text)
    with pytest.raises(UsageError, match="where only 'about' and 'axes' can be") as refused:
        package.load("study=mine", config_dir=own)

    assert "# @package _global_" in str(refused.value.hint)


def test_a_file_that_hydra_cannot_find_or_misreads_is_named() -> None:
    """A byte order mark, another encoding or suffix, a sub-folder, the wrong directory."""
    study = "# @package _global_\nstudy: {about: ü, axes: {seed: '0,1'}}\n"
    own = Path("own").absolute()
    (own / "study/sub").mkdir(parents=True)
    encodings = {"marked": "utf-8-sig", "wide": "utf-16", "latin": "latin-1", "good": "utf-8"}
    for name, encoding in encodings.items():
        (own / f"study/{name}.yaml").write_text(study, encoding=encoding)
    for name in ("study/short.yml", "study/sub/deep.yaml", "top.yaml"):
        (own / name).write_text(study, encoding="utf-8")

    def refused(name: str, place: Path = own) -> str:
        with pytest.raises(UsageError) as error:
            package.load(f"study={name}", config_dir=place)
        return f"{error.value.message} | {error.value.hint}"

    for name in ("marked", "wide", "latin"):
        assert f"study/{name}.yaml is no plain UTF-8" in refused(name)
    assert f"move study/short.yml in {own} to study/short.yaml" in refused("short")
    for name in ("deep", "sub/deep"):
        assert f"move study/sub/deep.yaml in {own} to study/deep.yaml" in refused(name)
    assert "to study/top.yaml" in refused("top")
    for name in ("good.yaml", "study/good", "own/study/good.yaml"):
        assert refused(name).endswith("| type study=good")
    assert refused("good", own / "study").endswith(f"| type --config-dir {own}")
    assert "nowhere is not a directory" in refused("good", Path("nowhere"))
    assert package.load("study=good", config_dir=own).about == "ü"


@pytest.mark.parametrize(
    ("typed", "axis", "runs"),
    [
        ("norm=none model.weight_init=torch", "model.weight_std=0.1,0.5", 1),
        ("norm=none model.weight_init=normal", "model.weight_std=0.1,0.5", 2),
        ("norm=layer", "norm.affine_per=element,channel", 1),
        (f"norm=layer {LENET}", "norm.affine_per=element,channel", 2),
        (f"norm=layer {LENET} norm.affine=false", "norm.affine_per=element,channel", 1),
        ("norm=ema_train norm.momentum=null", "norm.copy_first=true,false", 1),
        ("norm=ema_train norm.momentum=0.1", "norm.copy_first=true,false", 2),
    ],
)
def test_a_field_without_effect_names_no_run(typed: str, axis: str, runs: int) -> None:
    """All values of such an axis are one run, and a note says so."""
    study = package.load(*typed.split(), axis, "seed=0")

    assert len(study.runs) == runs
    assert (f"{axis} has no effect here: one run for all its values" in study.notes) == (runs == 1)


@pytest.mark.parametrize(
    ("typed", "remark"),
    [
        (["norm=batch_renorm", "train.epochs=1"], "norm.warmup_steps=50 outlast the 32 steps"),
        (["norm=ghost", "norm.size=64"], "norm.size=64 is no part of a batch of 64"),
        (["norm=batch", "train.batch_size=5000"], "more than the 2000 training examples"),
    ],
)
def test_what_is_hardly_meant_is_remarked(typed: list[str], remark: str) -> None:
    """Once, however many runs it is true of."""
    study = package.load(*typed, "norm.momentum=0.1", "seed=0,1")

    assert sum(remark in note for note in study.notes) == 1
    assert not any(remark in note for note in package.load("norm=batch", "seed=0").notes)

"""What holds for every input, searched by Hypothesis: overrides and identity.

What is drawn, and how long is searched, stands in `strategies.py`.
"""

import json
from collections.abc import Callable
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from conftest import Command
from hypothesis import example, given
from hypothesis import strategies as st
from omegaconf import OmegaConf
from strategies import CHARACTERS, TEXTS, examples, sections, trees, values
from test_grammar import study_file

import normexp as package
from normexp.config.field import Role, quoted, spell
from normexp.config.identity import EVERYTHING, WEIGHTS, run_id, stack_key, trajectory_id
from normexp.config.schema import IDENTITY_GROUPS, KINDS, RunConfig
from normexp.config.tree import field_specs, flatten, from_tree, nest
from normexp.study.compose import composer, resolve


@cache
def ids_of(*overrides: str) -> set[str]:
    """Return the ids of the runs of these overrides."""
    return {run.id for run in package.load(overrides).runs}


@examples(300)
@given(TEXTS)
@example("null")
@example("TRUE")
@example("nan")
@example("a\\b")
@example("a\\")
@example("\\'")
@example("${seed}")
@example("\\${seed}")
@example("\\\\${seed}'\\")
@example("é/ö")
@example("a,b")
@example("1e5")
def test_a_quoted_text_comes_back_as_it_was(text: str) -> None:
    """Through Hydra's grammar and OmegaConf's interpolation, both of which have escapes."""
    with composer() as hydra:
        override = hydra.parse(f"data.path={quoted(text)}")

    assert resolve({"path": override.value()}) == {"path": text}


@examples(8)
@given(TEXTS.map(lambda text: text.replace("/", "|")).filter(lambda text: text.strip(". ")))
@example('o\'clock \\${seed} "é" \\')
def test_a_run_on_a_file_of_any_name_has_a_command(name: str) -> None:
    """The command gives the run with the same id and the same path."""
    path = Path("data") / f"{name}.npz"
    path.parent.mkdir(exist_ok=True)
    with path.open("wb") as file:
        np.savez(file, x=np.arange(24.0).reshape(12, 2), y=np.arange(12.0))
    study = package.load(
        "data=arrays", f"data.path={quoted(str(path))}", "norm=batch", "norm.momentum=0.1", "seed=0"
    )
    (run,) = study.runs
    (again,) = package.load(study.command(run.config)).runs

    assert again.flat == run.flat
    assert run.flat["data.path"] == str(path.absolute())
    assert again.id == run.id


SPELLINGS: list[Callable[[float], str]] = [
    repr,
    lambda value: f"{value:.16e}",
    lambda value: f"{value:.16E}",
    lambda value: f"+{value!r}",
    lambda value: format(Decimal(repr(value)), "f"),
    lambda value: f"{format(Decimal(repr(value)), '.40f')}0",
    lambda value: f"{value:.20f}".removeprefix("0"),
]


@examples(12)
@given(st.data())
def test_a_number_in_any_spelling_is_the_same_run(data: st.DataObject) -> None:
    """Many at once, as an axis: the values as they are, and the ids of the plain spelling."""
    numbers = data.draw(st.lists(st.floats(1e-4, 1), min_size=1, max_size=12, unique=True))
    typed = [data.draw(st.sampled_from(SPELLINGS))(value) for value in numbers]
    read_back = list(dict.fromkeys(map(float, typed)))
    spelled = package.load("norm=batch", "seed=0", f"norm.momentum={','.join(typed)}").runs
    plain = package.load("norm=batch", "seed=0", f"norm.momentum={','.join(map(repr, read_back))}")

    assert [run.flat["norm.momentum"] for run in spelled] == read_back
    assert [run.id for run in spelled] == [run.id for run in plain.runs]


SCALARS = ["norm=batch", "norm.momentum=0.3", "seed=1,2", "optim.lr=1e-3,0.02", "train.epochs=3",
           "model.width=7", "optim=sgd", "data.noise_std=0.5", "log.every=4"]  # fmt: skip


@examples(10)
@given(st.permutations(SCALARS))
def test_the_order_of_overrides_changes_no_run(overrides: list[str]) -> None:
    """The same four runs, groups first or last."""
    runs = package.load(overrides).runs

    assert {run.id for run in runs} == ids_of(*SCALARS)
    assert len(runs) == 4


STUDY = {
    "model": {"width": 7, "depth": 3},
    "optim": {"lr": 0.003, "eps": 1e-7},
    "train": {"epochs": 3, "batch_size": 32, "shuffle": False},
    "study": {"about": "any order", "axes": {"norm": "none,batch", "seed": [1, 2]}},
}
TYPED_STUDY = (
    "model.width=7", "model.depth=3", "optim.lr=0.003", "optim.eps=1e-7", "train.epochs=3",
    "train.batch_size=32", "train.shuffle=false", "~norm.momentum", "norm=none,batch", "seed=1,2",
)  # fmt: skip


@st.composite
def shuffled(draw: st.DrawFn, tree: dict[str, Any]) -> dict[str, Any]:
    """The same mapping, its keys in another order at every level."""
    keys = draw(st.permutations(sorted(tree)))
    return {k: draw(shuffled(tree[k])) if isinstance(tree[k], dict) else tree[k] for k in keys}


@examples(10)
@given(shuffled(STUDY))
def test_the_order_of_keys_in_a_study_changes_no_run(tree: dict[str, Any]) -> None:
    """Sections and fields in any order are the four runs of the same values typed."""
    own = study_file(yaml.safe_dump(tree, sort_keys=False))
    runs = package.load("study=mine", config_dir=own).runs

    assert {run.id for run in runs} == ids_of(*TYPED_STUDY)
    assert len(runs) == 4


FRAGMENTS = [*"=,()[]{}:'\"\\$~+@.*/-_ |%#?!&;<>^`\t\né012a", "0.5", "1e3", "null", "true", "nan",
             "inf", "range(", "choice(", "glob(", "sort(", "shuffle(", "interval(", "int(", "str(",
             "tag(", "step=", "${", "${seed}", "${oc.env:HOME}", "norm", "seed", "norm.momentum",
             "norm.kind", "study", "study.axes", "hydra", "optim", "adam", "batch", "data.path",
             "store.dir", "train", "epochs"]  # fmt: skip
KEYS = ["seed", "norm", "norm.momentum", "optim.lr", "model.activation", "train.drop_last",
        "store.dir", "study", "train", "model", "executor.workers", "norm.convention", "~norm",
        "data.path", "+seed", "++seed", "optim@norm", "defaults"]  # fmt: skip
RUBBISH = st.lists(st.sampled_from(FRAGMENTS), max_size=6).map("".join)
ASSIGNED = st.builds("{}={}".format, st.sampled_from(KEYS), RUBBISH)
TYPED = st.lists(RUBBISH | ASSIGNED | st.text(CHARACTERS, max_size=8), min_size=1, max_size=2)


@examples(90)
@given(TYPED)
def test_no_override_ends_in_a_traceback(normexp: Command, overrides: list[str]) -> None:
    """A plan, or one line that says what is wrong, and exit code 2."""
    result = normexp("plan", "--", *overrides)
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]

    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert result.exit_code in (0, 2), result.output
    assert len(errors) == (result.exit_code == 2)
    assert result.stderr.splitlines()[:1] == errors


@st.composite
def pairs(draw: st.DrawFn) -> tuple[RunConfig, RunConfig]:
    """A configuration, and one in which few fields, or one section's kind, may differ."""
    tree = draw(trees())
    other = {k: dict(v) if isinstance(v, dict) else v for k, v in tree.items()}
    if draw(st.booleans()):
        group = draw(st.sampled_from(IDENTITY_GROUPS))
        other[group] = draw(sections(draw(st.sampled_from(sorted(KINDS[group].values(), key=str)))))
    known = {path: spec for path, spec in field_specs(other).items() if not path.endswith(".kind")}
    del known["seed"]
    for path in draw(st.lists(st.sampled_from(sorted(known)), max_size=2)):
        section, _, field = path.rpartition(".")
        if field != "convention":
            other[section][field] = draw(values(known[path]))
    return from_tree(tree), from_tree(other)


@examples(150)
@given(pairs())
def test_names_are_equal_exactly_where_their_fields_are(pair: tuple[RunConfig, RunConfig]) -> None:
    """Run: all but runtime fields; trajectory: not the observed ones; stack: structural ones."""
    for name_of, roles in (
        (run_id, EVERYTHING),
        (trajectory_id, WEIGHTS),
        (stack_key, (Role.STRUCTURAL,)),
    ):
        one, other = (
            {path: v for path, v in flatten(each).items() if known[path].rule.role in roles}
            for each in pair
            for known in [field_specs(nest(flatten(each)))]
        )
        assert (name_of(pair[0]) == name_of(pair[1])) == (one == other)


@examples(80)
@given(trees())
def test_a_configuration_survives_every_form_it_takes(tree: dict[str, Any]) -> None:
    """Flat, nested, as a run's YAML, read by PyYAML or by OmegaConf, as JSON, and as overrides."""
    from normexp.store.plain import config_yaml, to_json

    config = from_tree(tree)
    nested = nest(flatten(config))
    text = config_yaml(nested).decode()
    plain: Any = OmegaConf.to_container(OmegaConf.create(text), resolve=False)
    flat = {path: v for path, v in flatten(config).items() if not path.endswith(".kind")}
    with composer() as hydra:
        parsed = [hydra.parse(f"{path}={quoted(value)}") for path, value in flat.items()]
    typed: Any = {f"{group}.kind": tree[group]["kind"] for group in KINDS}
    typed |= {each.key_or_group: each.value() for each in parsed}

    assert from_tree(nested) == from_tree(yaml.safe_load(text)) == from_tree(plain) == config
    assert from_tree(json.loads(to_json(nested))) == config
    assert from_tree(resolve(nest(typed))) == config
    assert all(quoted(value) == spell(value) for value in flat.values() if type(value) is not str)


def test_a_digest_that_looks_like_a_number_stays_a_text() -> None:
    """12e4567890ab is fine, 12e456789012 is infinity to OmegaConf unless it is quoted."""
    from normexp.store.plain import to_yaml

    for text in ("12e456789012", "1e5", "-1.5E+3", ".5e1", "1_0e2", "12e4567890ab", "0123456789"):
        content = to_yaml({"digest": text}).decode()
        assert OmegaConf.to_container(OmegaConf.create(content)) == {"digest": text}
        assert yaml.safe_load(content) == {"digest": text}

"""Options for people: on a terminal, and as the page `configs/README.md`."""

from collections.abc import Iterator

from rich.padding import Padding
from rich.text import Text

from normexp.config.field import MEANINGS, spell
from normexp.config.options import Option, Options
from normexp.console.output import legend, print_table, say

INTRODUCTION = """\
# What can be typed

Made by `normexp options --markdown`. `normexp options WORD` shows a part of it in the terminal.

- `GROUP=CHOICE` takes a choice: `norm=group`. `FIELD=VALUE` sets a field: `norm.momentum=0.5`.
- Several values are an axis: `norm=none,batch`, `norm.momentum=0.01,0.1`, `'seed=range(8)'`,
  `choice()`, `glob()`. The grammar is Hydra's. All combinations that make sense are runs.
- A typed value replaces the study's axis. `~norm.momentum` drops it.
- A combination that makes no sense is refused before anything trains, with what to type instead.
- `normexp plan` takes the same words as `normexp sweep` and says what would run.

## Your own studies and presets

A directory of yours, named with `--config-dir DIR`, comes before the packaged files. A study is a
file `DIR/study/NAME.yaml`; `normexp sweep --config-dir DIR study=NAME` runs it:

```yaml
# @package _global_
defaults:
  - override /norm: batch
study:
  about: two momenta for small batches
  axes:
    norm.momentum: 0.05,0.5
    seed: range(8)
train:
  batch_size: 16
```

A preset is a file `DIR/GROUP/NAME.yaml` that sets fields of its group, `kind` first. A framework's
defaults are a file `DIR/norm/framework/NAME.yaml`, which begins with `# @package norm`.

What is typed is kept under its study's name. `--as NAME` keeps it as a study of its own.

## Your own data

`normexp sweep data=arrays data.path=FILE` reads a `.npz` or a Parquet file. `data.order=file`
trains on the first examples and tests on the last; with `train.shuffle=false` every epoch is in the
file's order. `budget`, `predict`, `report` and `reproduce` read the file where the run did, compare
its digest, and take `data.path=FILE` where it has moved. Losses on different data are shown one
data set after the other, never ranked or compared; sizes, and how the input moves, make no other
data.

## Roles

A field's role says which runs share work.

"""


def markdown(found: Options) -> Iterator[str]:
    """Yield the lines of the page."""
    yield from INTRODUCTION.splitlines()
    yield from (f"- *{role}*: {meaning}" for role, meaning in MEANINGS.items())
    yield from ("", "## Groups")
    for group, choices in found.choices.items():
        yield from ("", f"### `{group}=`", "", "| choice | |", "|---|---|")
        yield from (f"| `{name}` | {about} |" for name, about in choices.items())
    yield from ("", "## Fields")
    for section in dict.fromkeys(each.path.rpartition(".")[0] for each in found.fields):
        head = "| field | default | takes | role | meaning |"
        yield from ("", f"### `{section or 'seed'}`", "", head, "|---|---|---|---|---|")
        for each in found.fields:
            if each.path.rpartition(".")[0] == section:
                takes = ", ".join(filter(None, (each.spec.allowed, each.spec.rule.unit)))
                cells = (f"`{each.path}`", f"`{spell(each.default)}`", takes)
                yield f"| {' | '.join(cells)} | {each.spec.rule.role} | {_meaning(each)} |"


def print_groups(found: Options) -> None:
    """The groups with their choices, and the sections with their fields."""
    rows = {f"{group}=": ", ".join(kinds) for group, kinds in found.choices.items()}
    for section, _, name in (each.path.rpartition(".") for each in found.fields if not each.of):
        key = f"{section}." if section else f"{name}="
        rows[key] = f"{rows[key]}, {name}" if key in rows else name if section else "0, 1, 2, …"
    print_table([{"type": key, "one of": names} for key, names in rows.items()])
    for line in (
        "normexp options norm · a group, a section or a choice: its fields",
        "normexp options norm.momentum · a field: type, default, role, meaning",
        "normexp sweep norm=none,batch train.epochs=5 · how they are typed",
    ):
        legend(line)


def print_options(found: Options) -> None:
    """Choices with a line each; a field's first line is typed so, below it is its meaning."""
    for group, choices in found.choices.items():
        rows = [{group: f"{group}={name}", "": about} for name, about in choices.items()]
        print_table(rows)
    if found.choices and found.fields:
        say()
    for each in found.fields:
        takes = [each.spec.allowed, each.spec.rule.unit, str(each.spec.rule.role)]
        say(f"{each.path}={spell(each.default)}  ", " · ".join(filter(None, takes)))
        say(Padding(Text(_meaning(each)), (0, 0, 0, 4), expand=False))
    for role in dict.fromkeys(each.spec.rule.role for each in found.fields):
        legend(f"{role}: {MEANINGS[role]}")
    for group, choices in found.choices.items():
        if len(choices) > 1 and found.fields:
            first, *_, last = choices
            legend(
                f"normexp options {group}={last} shows one; normexp sweep {group}={first},{last}"
            )


def _meaning(option: Option) -> str:
    group = option.path.partition(".")[0]
    of = ",".join(each.partition("=")[2] for each in option.of)
    return f"{option.meaning} ({group}={of})" if of else option.meaning

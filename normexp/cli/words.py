"""What to type here, by the words of other tools; and the words for it in a command's help."""

from typing import Any

from typer.core import TyperArgument, TyperCommand, TyperOption

HINTS = {
    "type normexp plan: it says what a sweep would do": "dry-run dryrun preview simulate",
    "leave it out: a,b,c, range() and choice() sweep by themselves": "m multirun",
    "type study=NAME for a study, or GROUP=CHOICE for a part of one": "config-name config cn",
    "type --config-dir DIR": "config-path cp cd configs",
    "type normexp plan for what would run, normexp show RUN for a run's whole configuration": (
        "cfg c info job resolve package p inspect describe"
    ),
    "type normexp reproduce RUN": "experimental-rerun replay",
    "type the same normexp sweep again: it keeps what is complete and continues the rest": (
        "resume continue restart retry"
    ),
    "type --rerun": "force overwrite no-cache f",
    "type executor.workers=N": "jobs j n-jobs num-workers parallel threads nproc",
    "type executor.device=cuda": "gpu gpus cuda",
    "type executor=slurm or executor=ray": "slurm ray launcher cluster submit sbatch submitit",
    "type --dir DIR": "out output output-dir out-dir logdir log-dir save-dir o d",
    "leave it out: progress goes to stderr, 2>/dev/null silences it": "verbose v quiet q silent",
    "type normexp --help, or normexp COMMAND --help": "help usage man hydra-help ?",
    "type normexp --version": "version V",
    "type normexp ls": "list l runs studies experiments status ps progress queue top squeue",
    "type normexp rm STUDY, or normexp gc": "remove delete del clean prune purge",
    "type normexp mv STUDY NAME": "move rename",
    "type normexp sweep": "run train fit start launch execute exp experiment grid",
    "type normexp report STUDY": "plot viz visualize figure figures html results summary table",
    "type normexp watch STUDY": "dashboard ui board tensorboard serve monitor tail log logs",
    "type normexp show RUN": "cat get view open details",
    "press Ctrl-C where the sweep runs, or type scancel JOB for one in Slurm": (
        "stop kill cancel abort scancel"
    ),
    "type normexp verify": "check validate fsck",
    "type normexp export --to TOOL, or normexp.read() in Python": (
        "csv parquet dump download mlflow wandb trackio"
    ),
    "type normexp search, or normexp predict": "tune optimize best recommend optuna hpo",
}
WORDS = {word: hint for hint, words in HINTS.items() for word in words.split()}

PLACEHOLDERS = {"<path>": "PATH", "<str>": "TEXT", "<list[str]>": "TEXT", "<int>": "N",
                "<int range>": "N", "<float>": "NUMBER", "<float range>": "NUMBER"}  # fmt: skip
"""In the help of an option, by its type in Typer's words."""


class HelpfulCommand(TyperCommand):
    """A command whose help says by a word in capitals what stands for what is typed."""

    def get_params(self, ctx: Any) -> Any:  # noqa: ANN401  Typer's own
        """Return the parameters; an argument's name says by itself what it is."""
        found = super().get_params(ctx)
        for each in found:
            if isinstance(each, TyperArgument):
                each.display_type_rich = lambda ctx: ""  # type: ignore[method-assign]  # noqa: ARG005
            elif isinstance(each, TyperOption):
                each.metavar = each.metavar or PLACEHOLDERS.get(each.display_type(ctx))
        return found


def keys_of(word: str) -> list[str]:
    """Return the overrides that an option such as `--batch-size` means."""
    from normexp.config.schema import KINDS
    from normexp.config.tree import known_keys

    name = word.replace("-", "_")
    if name in ("study", *KINDS):
        return [f"{name}=CHOICE"]
    return [f"{key}=VALUE" for key in known_keys() if name in (key, key.rpartition(".")[2])]

"""A module of the user's own as a network: its batch norms become norm sites.

`model.source=FILE.py:FUNCTION` names a function that returns a `torch.nn.Module`, which takes
x [batch, ...] and returns predictions [batch, outputs]. Its file is run, so only a source that was
typed gets here: readers leave it null.
"""

import hashlib
import shlex
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import torch
import yaml
from torch import nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.flop_counter import FlopCounterMode

from normexp.config.network import Own
from normexp.config.schema import RunConfig
from normexp.errors import NormexpError, UsageError, describe, pick
from normexp.nets.layout import VECTOR, Parameters
from normexp.nets.models import Site, Structure
from normexp.numerics import stream

DIGEST = 12
"""Hex digits, as of a run."""

TYPE_SOURCE = "type FILE.py:FUNCTION"

PROBED = 2
"""Examples of the pass that shows a module's structure."""

PIXELS = 4
"""Dimensions of a batch of images."""

Normalize = Callable[[str, torch.Tensor], torch.Tensor]
"""Normalises the x at a site, in a stack's layout."""

_drawing = threading.RLock()
"""Held while PyTorch's own random numbers are those of one training: threads share them."""


def function_in(source: str, digest: str | None = None) -> Callable[..., object]:
    """Run the user's file, and return the function of it that `FILE.py:FUNCTION` names.

    Raises:
        UsageError: there is no such file or function, or its content has another digest.
    """
    path, name = _parts(source)
    content, _ = _content(path, digest)
    module = sys.modules["of_user"] = ModuleType("of_user")
    module.__file__ = str(path)
    if (folder := str(path.parent.resolve())) not in sys.path:
        sys.path.insert(0, folder)  # as `python FILE.py` has it
    exec(compile(content, str(path), "exec"), vars(module))  # noqa: S102  it was named
    functions: dict[str, Callable[..., object]] = {
        name: each for name, each in vars(module).items() if isinstance(each, FunctionType | type)
    }
    return pick(name, functions, f"{path}: function")


@contextmanager
def of_user(source: str) -> Iterator[None]:
    """Run the user's code as `python FILE.py` would, without arguments.

    Its errors become one line, and what it prints goes to stderr.
    """
    typed, sys.argv = sys.argv, [source.rpartition(":")[0]]
    try:
        with redirect_stdout(sys.stderr):
            yield
    except NormexpError:
        raise
    except SystemExit as end:
        raise UsageError(
            f"{source}: it ended itself: SystemExit: {end.code}",
            "normexp gives it no arguments; what is for scripts belongs under __main__",
        ) from end
    except Exception as error:
        raise UsageError(f"{source}: {describe(error)}", "--debug shows where") from error
    finally:
        sys.argv = typed


def settled_module(config: RunConfig) -> RunConfig:
    """Return the configuration with what the user's file and its module say filled in.

    Raises:
        UsageError: there is no such function, its file is not the recorded one, or its module
            cannot be trained here.
    """
    model = config.model
    assert isinstance(model, Own)  # noqa: S101
    assert model.source is not None  # noqa: S101
    path, name = _parts(model.source)
    _, digest = _content(path, model.digest)
    given = _arguments(model)
    words = " ".join(f"{key}={shlex.quote(given[key])}" for key in sorted(given)) or None
    source = f"{path.resolve()}:{name}"
    known = replace(model, source=source, name=name, digest=digest, arguments=words)
    sites = structure_of(known, config.data.shape, config.data.outputs).sites.values()
    channels = sum(site.channels for site in sites)
    return replace(config, model=replace(known, layers=len(sites), channels=channels))


def structure_of(model: Own, shape: tuple[int, ...], outputs: int) -> Structure:
    """Return the structure of a user's module, from a pass of it on noise.

    Args:
        model: settled.
        shape: of one example's x.
        outputs: numbers that it has to predict.

    Raises:
        UsageError: it cannot be run here, it may be a stranger's; it cannot take such data; or a
            batch norm is not called once a pass.
    """
    if model.source is None:
        raise UsageError(
            f"the network {model.name} is code of the user's, and stored runs never run code",
            "type normexp sweep model=own model.source=FILE.py:FUNCTION, which does",
        )
    return _structure(replace(model, layers=1, channels=1), shape, outputs)


@lru_cache(maxsize=256)
def _structure(model: Own, shape: tuple[int, ...], outputs: int) -> Structure:
    module, found, calls = Module(model, seed=0, dtype=torch.float32), Structure(), dict[str, int]()

    def note(site: str, x: torch.Tensor) -> torch.Tensor:
        calls[site] = calls.get(site, 0) + 1
        channels, pixels = (x.shape[1], ()) if x.dim() == VECTOR else (x.shape[2], x.shape[3:])
        norm = module.norms[site]
        found.sites[site] = Site(channels, tuple(pixels), affine=norm.affine)
        return x

    def leave(name: str) -> Callable[..., None]:
        def hook(_: nn.Module, __: object, y: object) -> None:
            if isinstance(y, torch.Tensor) and y.dim() > 1 and len(y) == PROBED:
                found.layers[name] = Site(y[0].numel())

        return hook

    for name, part in module.root.named_modules():
        if not list(part.children()):
            part.register_forward_hook(leave(name))
    weights = {name: values[None] for name, values in module.initial.items()}
    vector = len(shape) == 1
    x = torch.randn(1, *shape, PROBED) if vector else torch.randn(1, PROBED, *shape)
    source = model.source or ""
    with drawing(0), of_user(source), FlopCounterMode(display=False) as counter, torch.no_grad():
        y = module(weights, x, note, training=True)
    if y.shape != (1, outputs, PROBED):
        raise UsageError(
            f"{source} predicts {_sizes(y[0].T)} for x of {PROBED}×{_sizes(x[0, 0])}; "
            f"this data needs {PROBED}×{outputs}",
            "return a module with as many outputs as there are classes or targets",
        )
    for name, number in calls.items():
        if number > 1:
            raise UsageError(
                f"{source}: {name} is called {number} times in one pass",
                "give each place a batch norm of its own",
            )
    found.parameters = {name: tuple(each.shape[1:]) for name, each in weights.items()}
    found.multiplications = counter.get_total_flops() // (2 * PROBED)
    return found


class Module:
    """A user's module whose batch norms ask the caller to normalise.

    Args:
        model: with a source.
        seed: of its random numbers.
        dtype: of its arithmetic.
    """

    def __init__(self, model: Own, seed: int, dtype: torch.dtype) -> None:
        self._source = model.source or ""
        given = {name: yaml.safe_load(text) for name, text in _arguments(model).items()}
        with drawing(seed), of_user(self._source):
            made = function_in(self._source, model.digest)(**given)
        if not isinstance(made, nn.Module):
            raise UsageError(
                f"{self._source} returned {type(made).__name__}", "return a torch.nn.Module"
            )
        self.root = made.to(dtype)
        self.norms: dict[str, _BatchNorm] = {}
        self._normalize: Normalize | None = None
        places: dict[nn.Module, _Place] = {}
        for name, part in [*made.named_modules()]:
            for key, child in part._modules.items():  # noqa: SLF001  one that is shared, twice
                if isinstance(child, _BatchNorm):
                    site = f"{name}.{key}" if name else key
                    if child not in places:
                        self.norms[site], places[child] = child, _Place(self, site)
                    setattr(part, key, places[child])
        self.initial = {name: each.detach() for name, each in made.named_parameters()}

    def __call__(
        self, parameters: Parameters, x: torch.Tensor, normalize: Normalize, *, training: bool
    ) -> torch.Tensor:
        """Return predictions [1, outputs, batch] of a stack of one.

        Args:
            parameters: by name, each [1, *shape].
            x: [1, features, batch], or [1, batch, channels, height, width].
            normalize: at a site, in the same layouts.
            training: mode of its other parts, such as dropout.
        """
        self._normalize = normalize
        self.root.train(training).to(x.device)
        own = {name: parameters[name][0] for name in self.initial}
        rows = x[0].T if x.dim() == VECTOR else x[0]  # examples first
        before = self._writes()
        y = functional_call(self.root, own, rows)
        if before != self._writes():
            raise UsageError(
                f"{self._source}: a buffer changes as it is called, and would be lost",
                "only batch norms can have statistics",
            )
        return _prediction(y, self._source).T[None]

    def normalized(self, site: str, x: torch.Tensor) -> torch.Tensor:
        """Return x [batch, channels, ...] normalised as the caller wants it."""
        assert self._normalize is not None  # noqa: S101
        if x.dim() == 2:  # noqa: PLR2004
            return self._normalize(site, x.T[None])[0].T
        pixels = x.shape[2:] if x.dim() == PIXELS else (1, x[0, 0].numel())
        return self._normalize(site, x.reshape(1, *x.shape[:2], *pixels))[0].reshape(x.shape)

    def _writes(self) -> int:
        return sum(each._version for each in self.root.buffers())  # noqa: SLF001


class _Place(nn.Module):
    """Where a batch norm stood."""

    def __init__(self, module: Module, site: str) -> None:
        super().__init__()
        self._ask = module.normalized
        self._site = site

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self._ask(self._site, x)


def initial_weights(config: RunConfig, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """Return a run's initial weights by name: the module's own, drawn from the run's seed.

    Norms start from the weight and bias of the batch norm that they stand for.

    Args:
        config: of the run.
        shapes: of all parameters by name.
    """
    assert isinstance(config.model, Own)  # noqa: S101
    dtype = getattr(torch, config.train.dtype)
    module = Module(config.model, config.seed, dtype)
    found = module.initial
    for name, shape in shapes.items():
        site, _, which = name.rpartition(".norm.")
        if site:
            values = getattr(module.norms[site], which).detach().to(dtype)
            found[name] = values.view(-1, *[1] * (len(shape) - 1)).expand(shape)
    return {name: found[name] for name in shapes}


@contextmanager
def drawing(seed: int, *name: str | int) -> Iterator[None]:
    """Let modules draw, as for dropout, from a stream of their own; see `normexp.numerics`."""
    with _drawing, torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream(seed, "module", *name).initial_seed())
        yield


@lru_cache(maxsize=256)
def eps_of(model: Own) -> tuple[float, ...]:
    """Return what a module's batch norms add to the variance, each value once."""
    norms = Module(model, seed=0, dtype=torch.float32).norms.values()
    return tuple(sorted({each.eps for each in norms}))


def _parts(source: str) -> tuple[Path, str]:
    name, _, function = source.rpartition(":")
    path = Path(name).expanduser()
    if not (name and path.is_file()):
        raise UsageError(f"{source!r} is no function in a file", TYPE_SOURCE)
    return path, function


def _content(path: Path, digest: str | None) -> tuple[bytes, str]:
    """A file and its digest, which must be the given one."""
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()[:DIGEST]
    if digest not in (None, found):
        raise UsageError(
            f"{path} has digest {found}, not the {digest} that was named",
            "put the file of that time there, or leave out model.digest",
        )
    return content, found


def _arguments(model: Own) -> dict[str, str]:
    """Arguments of the user's function as words, by name."""
    try:
        words = shlex.split(model.arguments or "")
    except ValueError:
        words = ["="]
    given = {name: value for name, _, value in (word.partition("=") for word in words)}
    if not all("=" in word for word in words) or not all(map(str.isidentifier, given)):
        raise UsageError(
            f"model.arguments={model.arguments!r} does not name arguments",
            "type for example 'model.arguments={width: 16, depth: 2}'",
        )
    return given


def _prediction(y: object, source: str) -> torch.Tensor:
    """The predictions among what a module returned; `logits` are those of transformers."""
    y = getattr(y, "logits", y)
    if not isinstance(y, torch.Tensor) or y.dim() != 2:  # noqa: PLR2004
        what = type(y).__name__
        if isinstance(y, torch.Tensor):
            what = f"a tensor of {y.dim()} dimensions"
        raise UsageError(f"{source}: the module returned {what}", "return [batch, outputs]")
    return y


def _sizes(x: torch.Tensor) -> str:
    return "×".join(map(str, x.shape))

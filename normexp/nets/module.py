"""A module of the user's own as a network: its batch norms become norm sites.

`model.source=FILE.py:FUNCTION` names a function that returns a `torch.nn.Module`, which takes
x [batch, ...] and returns predictions [batch, outputs]. Its file is run, so only a source that was
typed gets here: readers leave it null.
"""

import shlex
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import lru_cache, partial

import torch
import yaml
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.stateless import _reparametrize_module
from torch.utils.flop_counter import FlopCounterMode

from normexp.config.network import Own
from normexp.config.schema import RunConfig
from normexp.errors import UsageError
from normexp.nets.layout import VECTOR, Parameters
from normexp.nets.models import Site, Structure
from normexp.nets.source import as_written, content_of, drawing, function_in, of_user, parts

PROBED = 2
"""Examples of the pass that shows a module's structure."""

SAME = 1e-3
"""Difference of equal predictions, absolute and relative."""

PIXELS = 4
"""Dimensions of a batch of images."""

Normalize = Callable[[str, torch.Tensor], torch.Tensor]
"""Normalises the x at a site, in a stack's layout."""


def settled_module(config: RunConfig) -> RunConfig:
    """Return the configuration with what the user's file and its module say filled in.

    Raises:
        UsageError: there is no such function, its file is not the recorded one, or its module
            cannot be trained here.
    """
    model = config.model
    assert isinstance(model, Own)  # noqa: S101
    assert model.source is not None  # noqa: S101
    path, name = parts(model.source)
    _, digest = content_of(path, model.digest)
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
    module, again = (Module(model, seed=0, dtype=torch.float32) for _ in range(2))
    found, source = Structure(), model.source or ""

    def note(site: str, x: torch.Tensor) -> torch.Tensor:
        channels, pixels = (x.shape[1], ()) if x.dim() == VECTOR else (x.shape[2], x.shape[3:])
        norm = module.norms[site]
        if not norm.training:
            raise UsageError(
                f"{source}: {site} stays in evaluation mode, where it normalises nothing",
                "make a layer of your own of it, with fixed numbers",
            )
        found.sites[site] = Site(channels, tuple(pixels), affine=norm.affine)
        found.eps.add(norm.eps)
        return x

    def predicted(module: Module, seed: int, *, training: bool = True) -> torch.Tensor:
        weights = {name: each.detach()[None] for name, each in module.initial.items()}
        with drawing(seed):
            return module(weights, x, note if training else lambda _, x: x, training=training)

    with of_user(source):
        with drawing(0):
            x = torch.randn(1, *((*shape, PROBED) if len(shape) == 1 else (PROBED, *shape)))
        _listen(module.root, found.layers)
        buffers = [each.clone() for each in module.root.buffers()]
        with FlopCounterMode(display=False) as counter:
            y = predicted(module, 0)
        kept = all(map(torch.equal, buffers, module.root.buffers()))
        pairs = [[y, predicted(again, 0)]]
        pairs += [[predicted(again, seed, training=False) for seed in (0, 1)]]
    for right, what, advice in (
        (
            y.shape == (1, outputs, PROBED),
            f"it predicts {[*y[0].T.shape]}, and this data needs {[PROBED, outputs]}",
            "return a module with as many outputs as there are classes or targets",
        ),
        (
            kept,
            "a buffer changes as it is called, and would be lost",
            "only batch norms can have statistics",
        ),
        (
            not y.requires_grad,
            "what it predicts has gradients that are not of its parameters",
            "keep layers as attributes or in torch.nn.ModuleList, and call batch norms themselves",
        ),
        (
            all(torch.allclose(one, two, SAME, SAME, equal_nan=True) for one, two in pairs),
            "made and called twice, it does not predict the same",
            "let it draw by torch alone, in evaluation mode not at all, and count no calls",
        ),
    ):
        if not right:
            raise UsageError(f"{source}: {what}", advice)
    found.parameters = {name: tuple(each.shape) for name, each in module.initial.items()}
    found.frozen = {name for name, each in module.all.items() if not each.requires_grad}
    found.multiplications = counter.get_total_flops() // (2 * PROBED)
    return found


def _listen(root: nn.Module, layers: dict[str, Site]) -> None:
    """Have every innermost part of a module note what it leaves."""

    def leave(name: str, _: nn.Module, __: object, y: object) -> None:
        if isinstance(y, torch.Tensor) and y.dim() > 1 and len(y) == PROBED:
            layers[name] = Site(y[0].numel())

    for name, part in root.named_modules():
        if not list(part.children()):
            part.register_forward_hook(partial(leave, name))


class Module:
    """A user's module whose batch norms ask the caller to normalise.

    Args:
        model: with a source.
        seed: of its random numbers.
        dtype: of its arithmetic.
    """

    def __init__(self, model: Own, seed: int, dtype: torch.dtype) -> None:
        self._source, self._dtype = model.source or "", dtype
        given = {name: yaml.safe_load(text) for name, text in _arguments(model).items()}
        with drawing(seed), of_user(self._source):
            made = function_in(self._source, model.digest)(**given)
            made = getattr(made, "_orig_mod", made)  # of torch.compile
            if not isinstance(made, nn.Module):
                raise UsageError(
                    f"{self._source} returned {type(made).__name__}", "return a torch.nn.Module"
                )
            if any(map(torch.is_complex, made.buffers())):
                raise UsageError(f"{self._source}: it has complex numbers", "hold them as pairs")
            self.root = made.to(dtype)
        self.norms: dict[str, _BatchNorm] = {}
        self.all: dict[str, torch.Tensor] = {}  # parameters, those of norms too
        self._normalize: Normalize
        self._calls = Counter[str]()
        self._sites = set[str]()
        self._given = ExitStack()
        for site, part in made.named_modules():
            if isinstance(part, _BatchNorm):
                if type(part).forward not in (_BatchNorm.forward, nn.SyncBatchNorm.forward):
                    raise UsageError(
                        f"{self._source}: {site} is a {type(part).__name__}, which is more than a "
                        "batch norm",
                        "use torch.nn.BatchNorm2d, and a layer of its own for what else it does",
                    )
                vars(part)["forward"] = partial(self.normalized, site)
                self.norms[site], zeros = part, torch.zeros(part.num_features)
                for name, each in part._parameters.items():  # noqa: SLF001  one alone may be None
                    self.all[f"{site}.norm.{name}"] = zeros if each is None else each
        self.initial = {
            name: each
            for name, each in made.named_parameters()
            if name.rpartition(".")[0] not in self.norms
        }
        self.all |= self.initial

    def weights(self, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
        """Return its initial weights by name, in these shapes.

        Norms start from the weight and bias of the batch norm that they stand for.
        """
        found = {}
        for name, shape in shapes.items():
            values = self.all[name].detach()
            spare = len(shape) - values.dim()  # pixels, where a batch norm has channels alone
            found[name] = values.view(*values.shape, *[1] * spare).expand(shape)
        return found

    def __call__(
        self, parameters: Parameters, x: torch.Tensor, normalize: Normalize, *, training: bool
    ) -> torch.Tensor:
        """Return predictions [1, outputs, batch] of a stack of one.

        Args:
            parameters: by name, each [1, *shape]. They stay in the module until the next call, for
                a `torch.utils.checkpoint` that calls parts of it once more.
            x: [1, features, batch], or [1, batch, channels, height, width].
            normalize: at a site, in the same layouts.
            training: mode of its other parts, such as dropout.
        """
        self._normalize = normalize
        self.root.train(training)
        own = {name: parameters[name][0] for name in self.initial}
        self._given.close()
        self.root.to(x.device)
        self._given.enter_context(_reparametrize_module(self.root, own, tie_weights=True))
        rows = x[0].T if x.dim() == VECTOR else x[0]  # examples first
        calls = self._calls = Counter()  # a checkpoint makes more, after the pass
        with as_written():
            y = self.root(rows)
        y = getattr(y, "logits", y)  # of transformers
        if not isinstance(y, torch.Tensor) or y.dim() != 2:  # noqa: PLR2004
            what = getattr(y, "shape", type(y).__name__)
            raise UsageError(f"{self._source}: it returned {what}", "return [batch, outputs]")
        self._sites = self._sites or set(calls)
        for site in self.norms:
            if calls[site] != (site in self._sites):
                raise UsageError(
                    f"{self._source}: {site} is called {calls[site]} times in a pass",
                    "call each batch norm once, in training and in evaluation mode alike",
                )
        return y.to(self._dtype).T[None]

    def normalized(self, site: str, x: torch.Tensor) -> torch.Tensor:
        """Return x [batch, channels, ...] normalised as the caller wants it."""
        self._calls[site] += 1
        full = x.to(self._dtype)  # of autocast
        if x.dim() == 2:  # noqa: PLR2004
            y = self._normalize(site, full.T[None])[0].T
        else:
            pixels = x.shape[2:] if x.dim() == PIXELS else (1, x[0, 0].numel())
            y = self._normalize(site, full.reshape(1, *x.shape[:2], *pixels))[0]
        return y.reshape(x.shape).to(x.dtype)


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

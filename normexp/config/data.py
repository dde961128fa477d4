"""Data sets as configured, and which of their fields say that losses can be compared."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

from normexp.config.field import Role, Rule, as_override, declare, specs, use

STRUCTURAL, STACKABLE, OBSERVED, RUNTIME = Role

Order = Literal["seed", "file"]

ORDER = Rule(STRUCTURAL, short="order-", neutral="seed")
TRAIN_SIZE = Rule(STRUCTURAL, short="n", minimum=2, unit="examples")
TEST_SIZE = Rule(STRUCTURAL, short="test", minimum=2, unit="examples")


@dataclass(frozen=True, kw_only=True)
class Quadratic:
    """y = x² − 5 + N(0, noise_std), x evenly spaced from low to high (S1)."""

    kind: Literal["quadratic"] = declare(STRUCTURAL, "quadratic")
    train_size: int = use(TRAIN_SIZE, 2000)
    test_size: int = use(TEST_SIZE, 200)
    low: float = declare(STACKABLE, -7.0, short="low")
    high: float = declare(STACKABLE, 10.0, short="high")
    noise_std: float = declare(STACKABLE, 2.0, short="noise", minimum=0)

    shape: ClassVar = (1,)
    outputs: ClassVar = 1


@dataclass(frozen=True, kw_only=True)
class RandomLabels:
    """x of N(0, I) with labels drawn at random (S0); tested on the training set.

    There is nothing to learn but the examples, so what differs between training and testing is
    the mode of the network alone.
    """

    kind: Literal["random_labels"] = declare(STRUCTURAL, "random_labels")
    train_size: int = use(TRAIN_SIZE, 100)
    features: int = declare(STRUCTURAL, 10, short="f", minimum=1)
    classes: int = declare(STRUCTURAL, 2, short="c", minimum=2)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one example's x."""
        return (self.features,)

    @property
    def outputs(self) -> int:
        """Numbers that a network predicts."""
        return self.classes


@dataclass(frozen=True, kw_only=True)
class Digits:
    """The 1,797 real digits of scikit-learn, 8×8 grey, split at random by the seed.

    UCI's "Optical Recognition of Handwritten Digits" (Alpaydin & Kaynak 1998), its test part.
    Pixels in units of the training set's mean and standard deviation.
    """

    kind: Literal["digits"] = declare(STRUCTURAL, "digits")
    train_size: int = use(TRAIN_SIZE, 1440, maximum=1795)
    test_size: int = use(TEST_SIZE, 357, maximum=1795)

    shape: ClassVar = (1, 8, 8)
    outputs: ClassVar = 10


@dataclass(frozen=True, kw_only=True)
class Drift:
    """z of N(0, I), y = (Σz/√features)² − 1 + noise, and x = z + a shift that moves every step.

    The labels do not depend on the shift: a norm that follows the input loses nothing, running
    statistics that lag behind it do.
    """

    kind: Literal["drift"] = declare(STRUCTURAL, "drift")
    train_size: int = use(TRAIN_SIZE, 2000)
    test_size: int = use(TEST_SIZE, 200)
    features: int = declare(STRUCTURAL, 4, short="f", minimum=1)
    motion: Literal["linear", "walk"] = declare(STRUCTURAL, "linear")
    rate: float = declare(STACKABLE, 0.01, short="rate", minimum=0)
    noise_std: float = declare(STACKABLE, 0.1, short="noise", minimum=0)

    outputs: ClassVar = 1

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one example's x."""
        return (self.features,)


@dataclass(frozen=True, kw_only=True)
class Cifar10:
    """CIFAR-10 (Krizhevsky 2009) from the user's own files, python or binary release.

    A smaller training set is drawn by the seed, or the first images (`order`); the test set is the
    published one, or its first images. Pixels in units of the training set's mean and standard
    deviation, per channel.
    """

    kind: Literal["cifar10"] = declare(STRUCTURAL, "cifar10")
    train_size: int = use(TRAIN_SIZE, 50000, maximum=50000)
    test_size: int = use(TEST_SIZE, 10000, maximum=10000)
    path: str = declare(RUNTIME, "data/cifar-10")
    verify: bool = declare(RUNTIME, default=True)
    digest: str | None = declare(STRUCTURAL, None)
    order: Order = use(ORDER, "seed")

    shape: ClassVar = (3, 32, 32)
    outputs: ClassVar = 10


@dataclass(frozen=True, kw_only=True)
class Arrays:
    """The user's own x and y from a .npz or a Parquet file; see `normexp.data.arrays`.

    What is null is filled in from the file; what is typed is compared with it, but for `y_size`,
    which also says what y is: of one column, 1 is a target and 2 or more are classes.
    """

    kind: Literal["arrays"] = declare(STRUCTURAL, "arrays")
    path: str = declare(RUNTIME, "data/arrays.npz")
    train_size: int | None = use(TRAIN_SIZE, None)
    test_size: int | None = use(TEST_SIZE, None)
    x_shape: str | None = declare(STRUCTURAL, None, short="x")
    y_size: int | None = declare(STRUCTURAL, None, short="y", minimum=1)
    digest: str | None = declare(STRUCTURAL, None)
    order: Order = use(ORDER, "seed")

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one example's x."""
        return tuple(int(part) for part in (self.x_shape or "").split("x"))

    @property
    def outputs(self) -> int:
        """Numbers that a network predicts."""
        return self.y_size or 0


@dataclass(frozen=True, kw_only=True)
class Loop:
    """The examples of a recorded loop, of which only their number between evaluations is known.

    `name` is what the user calls them: losses on data of other names are not compared.
    """

    kind: Literal["loop"] = declare(STRUCTURAL, "loop")
    name: str | None = declare(STRUCTURAL, None, short="data-")
    train_size: int = declare(STRUCTURAL, 1, short="n", minimum=1, unit="examples")

    shape: ClassVar[tuple[int, ...]] = ()
    outputs: ClassVar = 0


Data = Quadratic | RandomLabels | Digits | Drift | Cifar10 | Arrays | Loop

SAME_ANSWERS = (
    "train_size",
    "test_size",
    "features",
    "motion",
    "rate",
    "path",
    "verify",
    "x_shape",
)
"""Fields that leave the answers as they are: how many examples, and what x is like."""

ANSWERS = tuple(
    dict.fromkeys(
        f"data.{field}"
        for kind in get_args(Data)
        for field in specs(kind)
        if field not in SAME_ANSWERS
    )
)
"""Fields that say what the answers are, and so the scale of losses: kind, digest, noise, ..."""

DataSet = tuple[Any, ...]


def data_set(values: Mapping[str, Any]) -> DataSet:
    """Return a key that is equal for runs whose losses can be compared."""
    return tuple(values.get(path) for path in ANSWERS)


def data_sets(rows: Iterable[Mapping[str, Any]]) -> dict[DataSet, str]:
    """Return the data sets of some runs, each with a name that tells it from the others."""
    found = {data_set(row): row for row in rows}
    differing = [
        path
        for path in ANSWERS
        if len({repr(row.get(path)) for row in found.values() if path in row}) > 1
    ]
    return {
        key: " ".join(as_override(path, row[path]) for path in differing if path in row)
        for key, row in found.items()
    }

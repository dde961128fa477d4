"""Data sets as configured: how many examples, of which shape, and what is drawn or read."""

from dataclasses import dataclass
from typing import Any, Literal

from normexp.config.field import Role, declare

STRUCTURAL, STACKABLE, OBSERVED, RUNTIME = Role

Order = Literal["seed", "file"]


def _order() -> Any:  # noqa: ANN401
    doc = (
        "of the examples before they are split: seed (drawn by it) or file (as they stand there, "
        "the first for training, the last for testing); train.shuffle=false keeps it"
    )
    return declare(STRUCTURAL, "seed", doc, short="order-", neutral="seed")


@dataclass(frozen=True, kw_only=True)
class Quadratic:
    """y = x² − 5 + N(0, noise_std), x evenly spaced from low to high (S1)."""

    kind: Literal["quadratic"] = declare(STRUCTURAL, "quadratic", "which data")
    train_size: int = declare(STRUCTURAL, 2000, "training points", short="n", minimum=2)
    test_size: int = declare(STRUCTURAL, 200, "test points", short="test", minimum=2)
    low: float = declare(STACKABLE, -7.0, "smallest x", short="low")
    high: float = declare(STACKABLE, 10.0, "largest x", short="high")
    noise_std: float = declare(STACKABLE, 2.0, "std of y's noise", short="noise", minimum=0)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one example's x."""
        return (1,)

    @property
    def outputs(self) -> int:
        """Numbers that a network predicts."""
        return 1


@dataclass(frozen=True, kw_only=True)
class RandomLabels:
    """x of N(0, I) with labels drawn at random (S0); tested on the training set.

    There is nothing to learn but the examples, so what differs between training and testing is
    the mode of the network alone.
    """

    kind: Literal["random_labels"] = declare(STRUCTURAL, "random_labels", "which data")
    train_size: int = declare(STRUCTURAL, 100, "examples", short="n", minimum=2)
    features: int = declare(STRUCTURAL, 10, "numbers of an example", short="f", minimum=1)
    classes: int = declare(STRUCTURAL, 2, "labels", short="c", minimum=2)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one example's x."""
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

    kind: Literal["digits"] = declare(STRUCTURAL, "digits", "which data")
    train_size: int = declare(
        STRUCTURAL, 1440, "training images", short="n", minimum=2, maximum=1795
    )
    test_size: int = declare(STRUCTURAL, 357, "test images", short="test", minimum=2, maximum=1795)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one example's x."""
        return (1, 8, 8)

    @property
    def outputs(self) -> int:
        """Numbers that a network predicts."""
        return 10


@dataclass(frozen=True, kw_only=True)
class Drift:
    """z of N(0, I), y = (Σz/√features)² − 1 + noise, and x = z + a shift that moves every step.

    The labels do not depend on the shift: a norm that follows the input loses nothing, running
    statistics that lag behind it do.
    """

    kind: Literal["drift"] = declare(STRUCTURAL, "drift", "which data")
    train_size: int = declare(STRUCTURAL, 2000, "training examples", short="n", minimum=2)
    test_size: int = declare(STRUCTURAL, 200, "test examples", short="test", minimum=2)
    features: int = declare(STRUCTURAL, 4, "numbers of an example", short="f", minimum=1)
    motion: Literal["linear", "walk"] = declare(
        STRUCTURAL, "linear", "how x moves: evenly, or as a random walk of every feature", short=""
    )
    rate: float = declare(
        STACKABLE,
        0.01,
        "shift of a step in σ of x; of a walk: the standard deviation of its steps",
        short="rate",
        minimum=0,
    )
    noise_std: float = declare(STACKABLE, 0.1, "std of y's noise", short="noise", minimum=0)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one example's x."""
        return (self.features,)

    @property
    def outputs(self) -> int:
        """Numbers that a network predicts."""
        return 1


@dataclass(frozen=True, kw_only=True)
class Cifar10:
    """CIFAR-10 (Krizhevsky 2009) from the user's own files, python or binary release.

    A smaller training set is drawn by the seed, or the first images (`order`); the test set is the
    published one, or its first images. Pixels in units of the training set's mean and standard
    deviation, per channel.
    """

    kind: Literal["cifar10"] = declare(STRUCTURAL, "cifar10", "which data")
    train_size: int = declare(
        STRUCTURAL, 50000, "training images", short="n", minimum=2, maximum=50000
    )
    test_size: int = declare(
        STRUCTURAL, 10000, "test images", short="test", minimum=2, maximum=10000
    )
    path: str = declare(
        RUNTIME, "data/cifar-10", "directory of the files, or the release's .tar.gz"
    )
    verify: bool = declare(
        RUNTIME, default=True, doc="whether the files must be the published ones, by checksum"
    )
    digest: str | None = declare(
        STRUCTURAL,
        None,
        "of images and labels, filled in from the files; typed: compared",
        short="",
    )
    order: Order = _order()

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one example's x."""
        return (3, 32, 32)

    @property
    def outputs(self) -> int:
        """Numbers that a network predicts."""
        return 10


@dataclass(frozen=True, kw_only=True)
class Arrays:
    """The user's own x and y from a .npz or a Parquet file; see `normexp.data.arrays`.

    What is null is filled in from the file; what is typed is compared with it, but for `y_size`,
    which also says what y is: of one column, 1 is a target and 2 or more are classes.
    """

    kind: Literal["arrays"] = declare(STRUCTURAL, "arrays", "which data")
    path: str = declare(RUNTIME, "data/arrays.npz", "the file, .npz or .parquet")
    train_size: int | None = declare(
        STRUCTURAL, None, "training examples; null: all that are not for testing", short="n",
        minimum=2,
    )  # fmt: skip
    test_size: int | None = declare(
        STRUCTURAL, None, "test examples; null: the file's own, or a fifth", short="test", minimum=2
    )
    x_shape: str | None = declare(
        STRUCTURAL, None, "of one example: 12 (numbers) or 3x32x32 (channels, height, width)",
        short="x",
    )  # fmt: skip
    y_size: int | None = declare(
        STRUCTURAL, None, "numbers that a network predicts: classes of whole numbers, or targets",
        short="y", minimum=1,
    )  # fmt: skip
    digest: str | None = declare(STRUCTURAL, None, "of x and y", short="")
    order: Order = _order()

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one example's x."""
        return tuple(int(part) for part in (self.x_shape or "").split("x"))

    @property
    def outputs(self) -> int:
        """Numbers that a network predicts."""
        return self.y_size or 0


Data = Quadratic | RandomLabels | Digits | Drift | Cifar10 | Arrays

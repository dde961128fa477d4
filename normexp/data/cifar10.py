"""CIFAR-10 from the user's files: the python and the binary release, unpacked or as archives.

Needs no torch. Nothing is downloaded, and pickles are read by an unpickler that knows NumPy's
arrays and nothing else.
"""

import hashlib
import io
import pickle
import tarfile
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from normexp.errors import UsageError

BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))
TEST = "test_batch"

PYTHON = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}
"""MD5 of the python release's files, as torchvision has them."""

BINARY = {
    "data_batch_1.bin": "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
    "data_batch_2.bin": "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
    "data_batch_3.bin": "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
    "data_batch_4.bin": "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
    "data_batch_5.bin": "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
    "test_batch.bin": "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
}
"""SHA-256 of the binary release's files, as torchvision for Ruby has them."""

FOLDERS = (".", "cifar-10-batches-py", "cifar-10-batches-bin")
ARCHIVES = ("cifar-10-python.tar.gz", "cifar-10-binary.tar.gz")
SOURCE = "https://www.cs.toronto.edu/~kriz/cifar.html"
LABELS = 10
PIXELS = 3 * 32 * 32


class Images(NamedTuple):
    """Images [examples, 3, 32, 32] and labels, both as bytes have them."""

    x: np.ndarray[Any, Any]  # uint8
    y: np.ndarray[Any, Any]  # int64, 0 to 9


def read_release(path: Path, *, verify: bool) -> tuple[Images, Images]:
    """Return the training and the test images of a release.

    Args:
        path: a directory with the files or the archive, or the archive itself.
        verify: whether each file must have the checksum of the published one.

    Raises:
        UsageError: there is no release at `path`, or it is damaged.
    """
    parts = {}
    for name, content in _files(path).items():
        published = PYTHON.get(name) or BINARY[name]
        digest = hashlib.new("sha256" if name in BINARY else "md5", content)
        if verify and digest.hexdigest() != published:
            raise UsageError(
                f"{name} of {path} is not the published file: its checksum differs",
                f"get it again from {SOURCE}, or type data.verify=false to use it as it is",
            )
        try:
            parts[Path(name).stem] = _images(content, binary=name in BINARY)
        except Exception as error:  # a damaged pickle raises whatever its bytes say
            raise UsageError(
                f"{name} of {path} is no CIFAR-10 file: {error}", f"get it again from {SOURCE}"
            ) from error
    train = [parts[name] for name in BATCHES]
    return Images(*(np.concatenate(column) for column in zip(*train, strict=True))), parts[TEST]


def _files(path: Path) -> dict[str, bytes]:
    """The six files of the release at a path, by name, those of an archive too."""
    missing = ""
    for folder in (path / name for name in FOLDERS):
        for names in (PYTHON, BINARY):
            lacking = [name for name in names if not (folder / name).is_file()]
            if not lacking:
                return {name: (folder / name).read_bytes() for name in names}
            if len(lacking) < len(names):
                missing = missing or f"; {folder} has no {', '.join(lacking)}"
    for archive in [path] if path.is_file() else [path / name for name in ARCHIVES]:
        if archive.is_file():
            return _unpacked(archive)
    raise UsageError(
        f"data=cifar10: no CIFAR-10 in {path}{missing}",
        f"get cifar-10-python.tar.gz or cifar-10-binary.tar.gz from {SOURCE}, put it there, "
        "or type data.path=DIRECTORY",
    )


def _unpacked(archive: Path) -> dict[str, bytes]:
    """The files of an archive, read in memory; nothing is written anywhere."""
    try:
        with tarfile.open(archive) as tar:
            members = {Path(m.name).name: m for m in tar.getmembers() if m.isfile()}
            for names in (PYTHON, BINARY):
                if all(name in members for name in names):
                    streams = {name: tar.extractfile(members[name]) for name in names}
                    return {name: stream.read() for name, stream in streams.items() if stream}
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise UsageError(f"{archive} is no readable archive: {error}") from error
    raise UsageError(
        f"{archive} does not hold the six files of a release", f"get it again from {SOURCE}"
    )


def _images(content: bytes, *, binary: bool) -> Images:
    """The images of a file.

    Binary are records of a label's byte and 3,072 bytes of pixels, red, green, blue, row by row;
    pickled is a dictionary with `data` [examples, 3072] and `labels`.
    """
    if binary:
        records = np.frombuffer(content, np.uint8).reshape(-1, 1 + PIXELS)
        pixels, labels = records[:, 1:], records[:, 0]
    else:
        batch = _ArraysOnly(io.BytesIO(content), encoding="bytes").load()
        named = {key.decode() if isinstance(key, bytes) else key: batch[key] for key in batch}
        pixels, labels = np.asarray(named["data"]), np.asarray(named["labels"])
    if pixels.dtype != np.uint8 or labels.dtype.kind not in "iu":
        raise ValueError("pixels and labels are not whole numbers of a byte")
    if pixels.shape != (len(labels), PIXELS) or not len(labels):
        raise ValueError(f"{len(labels)} labels, pixels of shape {pixels.shape}")
    if labels.min() < 0 or labels.max() >= LABELS:
        raise ValueError(f"labels from {labels.min()} to {labels.max()}")
    return Images(pixels.reshape(-1, 3, 32, 32).copy(), labels.astype(np.int64))


class _ArraysOnly(pickle.Unpickler):
    """An unpickler that builds NumPy arrays of plain numbers and runs nothing else."""

    KNOWN = frozenset(
        {
            ("numpy", "ndarray"),
            ("numpy", "dtype"),
            ("numpy.core.multiarray", "_reconstruct"),
            ("numpy._core.multiarray", "_reconstruct"),
            ("numpy.core.numeric", "_frombuffer"),
            ("numpy._core.numeric", "_frombuffer"),
            ("_codecs", "encode"),
        }
    )

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401
        if (module, name) not in self.KNOWN:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is not data")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)

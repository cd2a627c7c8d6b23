"""A dataset of pictures of one shape, with or without labels: a folder, ZIP or LMDB as the dataset tool writes them.

The order is the string order of the names relative to the root (with "/"), as in StyleGAN2-ADA (arXiv 2006.06676), and
sub-sets, flips and labels are as there too, so that an index means the same picture.

Differs from StyleGAN2-ADA: pictures may be of any height and width and have 1 to 4 channels; mixed shapes are found
when the dataset is opened; palette and 16-bit pictures are converted (`decode.py`); a class may come from the folder's
name.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from openstylegan.data import content_hash as hashing
from openstylegan.data.cache import RawCache, build_cache, open_cache
from openstylegan.data.decode import decode, is_picture, shape_of
from openstylegan.data.labels import LABEL_FILE, Labels, arrange, folder_classes, parse_dataset_json
from openstylegan.data.lmdb_storage import LmdbStorage, is_lmdb_path, open_lmdb_storages
from openstylegan.data.progress import Advance, silent
from openstylegan.data.shapes import Shape, shape_in_words
from openstylegan.data.sources.tfrecord import is_tfrecord
from openstylegan.data.storage import Storage, open_storage
from openstylegan.data.tfrecord_storage import TFRecordStorage
from openstylegan.data.workers import ordered_map, threads
from openstylegan.errors import InputError
from openstylegan.files import sha256_bytes

HEADER_READ = 1 << 16
CACHE_BLOCK = 16
LABEL_SOURCES = (LABEL_FILE, "folders")


def header_shape(storage: Storage, name: str) -> Shape:
    """(C, H, W) of a stored picture from its header; the whole file is read only where its first 64 KiB do not tell."""
    head = storage.head(name, 64)
    if not head:
        raise InputError(f"expected a picture in {name}, but the file is empty; replace or remove it")
    if not head.startswith(b"\x89PNG"):
        head = storage.head(name, HEADER_READ)
    try:
        return shape_of(head, name)
    except InputError:
        return shape_of(storage.read(name), name)


def common_shape(storage: Storage, names: Sequence[str]) -> Shape:
    """The shape of all pictures. Raises `InputError` naming the first picture of another size or channel count."""
    first = header_shape(storage, names[0])
    others = [(name, shape) for name in names[1:] if (shape := header_shape(storage, name)) != first]
    if others:
        name, shape = others[0]
        raise InputError(
            f"expected all pictures in {storage.path} to be like the first, {shape_in_words(first)}, "
            f"got {shape_in_words(shape)} for {name} ({len(others)} of {len(names)} differ); "
            f"make them alike with `openstylegan dataset`"
        )
    return first


def check_resolution(shape: Shape, resolution: int | tuple[int, int] | None, path: Any) -> None:
    """Raises `InputError` when the pictures are not of the asked resolution: a side, or (height, width)."""
    if resolution is None:
        return
    height, width = (resolution, resolution) if isinstance(resolution, int) else resolution
    if (height, width) != shape[1:]:
        raise InputError(
            f"expected pictures of {width} x {height} in {path}, got {shape[2]} x {shape[1]}; make them with "
            f"`openstylegan dataset --source {path} --dest NEW.zip --width {width} --height {height}`"
        )


def check_channels(dataset: ImageDataset) -> None:
    """Raises `InputError` when the pictures have not as many channels at every size."""
    odd = next((level for level in dataset.smaller if level.image_shape[0] != dataset.image_shape[0]), None)
    if odd is not None:
        raise InputError(
            f"expected the same channels at every size, got {shape_in_words(odd.image_shape)} in {odd.storage.path} "
            f"and {shape_in_words(dataset.image_shape)} in {dataset.storage.path}; make the LMDB again"
        )


def subset(num_items: int, max_size: int | None, seed: int) -> np.ndarray:
    """The raw indices kept, ascending: all, or `max_size` of them chosen by a RandomState of `seed`."""
    kept = np.arange(num_items, dtype=np.int64)
    if max_size is None or max_size >= num_items:
        return kept
    if max_size < 1:
        raise InputError(
            f"expected a sub-set of at least 1 picture, got {max_size}; leave it out to use all {num_items}"
        )
    np.random.RandomState(seed % (1 << 32)).shuffle(kept)
    return np.sort(kept[:max_size])


def read_labels(storage: Storage, names: Sequence[str], source: str) -> Labels:
    """The labels of `names`, from `dataset.json` or from the names of their first folders."""
    if source == "folders":
        return arrange(folder_classes(names)[0], names, str(storage.path))
    if LABEL_FILE not in storage.names:
        return Labels()
    where = f"{storage.path}/{LABEL_FILE}"
    return arrange(parse_dataset_json(storage.read(LABEL_FILE), where), names, where)


class ImageDataset:
    """Pictures of one shape by index; items i >= n of a dataset with `xflip` are items i - n mirrored left to right.

    `raw_cache`: the decoded pictures, when they are at hand. `smaller`: the same pictures at smaller sizes, where they
    are stored. Threads may share a dataset, and it may be pickled.
    """

    def __init__(
        self,
        storage: Storage,
        names: list[str],
        shape: Shape,
        labels: Labels,
        raw_indices: np.ndarray,
        xflip: bool = False,
        raw_cache: RawCache | None = None,
        smaller: Sequence[ImageDataset] = (),
    ):
        self.storage, self.names = storage, names
        self.smaller = tuple(smaller)
        self.image_shape = shape
        self.xflip, self.raw_cache = xflip, raw_cache
        self._labels = labels
        self._raw = raw_indices

    @property
    def name(self) -> str:
        """The path's last part without its ending; of an LMDB also the size."""
        path = Path(os.path.abspath(self.storage.path))
        return f"{path.parent.stem}-{path.name}" if isinstance(self.storage, LmdbStorage) else path.stem

    @property
    def label_dim(self) -> int:
        """The length of a label; 0 without labels."""
        return self._labels.dim

    @property
    def has_labels(self) -> bool:
        """Whether there is anything to condition on."""
        return self.label_dim > 0

    def __len__(self) -> int:
        return len(self._raw) * (2 if self.xflip else 1)

    @cached_property
    def stored_hash(self) -> str:
        """SHA-256 of all stored pictures and labels, at all sizes (`content_hash.py`)."""
        own = hashing.content_hash(self.storage, self.names)
        return hashing.combined([*(level.stored_hash for level in self.smaller), own])

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 of what this dataset yields: the `stored_hash`, mixed with the choice of pictures if not just all."""
        if len(self._raw) == len(self.names) and not self.xflip:
            return self.stored_hash
        return sha256_bytes(self.stored_hash.encode() + self._raw.astype("<i8").tobytes() + bytes([self.xflip]))

    @property
    def alone(self) -> ImageDataset:
        """All stored pictures at this size only, without labels or mirroring."""
        return ImageDataset(self.storage, self.names, self.image_shape, Labels(), np.arange(len(self.names)))

    def at_lod(self, lod: float) -> ImageDataset:
        """These pictures at the smallest stored size from which the whole level of detail below `lod` can be had.

        Level n is 2^n times smaller than the largest size.
        """
        height, width = (side >> int(lod) for side in self.image_shape[1:])
        return next((level for level in self.smaller if halves_to(level.image_shape, height, width)), self)

    def _locate(self, indices: Sequence[int] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Raw index and whether it is mirrored, of each item."""
        items = np.asarray(indices, np.int64).reshape(-1)
        if len(items) and (items.min() < 0 or items.max() >= len(self)):
            raise InputError(f"expected indices from 0 to {len(self) - 1}, got {items.min()} to {items.max()}")
        return self._raw[items % len(self._raw)], items >= len(self._raw)

    def names_of(self, indices: Sequence[int] | np.ndarray) -> list[str]:
        """The file names of the items."""
        return [self.names[i] for i in self._locate(indices)[0]]

    def images(self, indices: Sequence[int] | np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """uint8 [N, C, H, W] of the items, written into `out` when given.

        Raises `InputError` naming the file when a picture is damaged or not of the common shape.
        """
        raw, mirrored = self._locate(indices)
        if out is None:
            out = np.empty((len(raw), *self.image_shape), np.uint8)
        for row, index, mirror in zip(out, raw.tolist(), mirrored.tolist(), strict=True):
            pixels = self.raw_cache.pixels[index] if self.raw_cache else self._decode(index)
            row[:] = pixels[:, :, ::-1] if mirror else pixels
        return out

    def _decode(self, raw_index: int) -> np.ndarray:
        """The pixels [C, H, W] (a view) of one stored picture."""
        name = self.names[raw_index]
        pixels = decode(self.storage.read(name), name).transpose(2, 0, 1)
        if pixels.shape != self.image_shape:
            raise InputError(
                f"expected {name} in {self.storage.path} to be {shape_in_words(self.image_shape)} like the first, "
                f"got {shape_in_words(pixels.shape)}; make them alike with `openstylegan dataset`"
            )
        return pixels

    def labels(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """float32 [N, label_dim] of the items: one-hot classes, or the vectors as they are."""
        return self._labels.rows(self._locate(indices)[0])

    def build_raw_cache(self, workers: int = 1, advance: Advance = silent) -> RawCache:
        """Decodes all stored pictures, at this size, into the raw cache, returns it and reads from it from now on."""
        plain = self.alone
        blocks = np.array_split(np.arange(len(plain)), -(-len(plain) // CACHE_BLOCK))
        decoded = ordered_map(plain.images, blocks, workers, threads)
        self.raw_cache = build_cache(plain.stored_hash, decoded, len(plain), self.image_shape, advance)
        return self.raw_cache

    def close(self) -> None:
        """Gives the file handle back; reading opens it again."""
        self.storage.close()


def halves_to(shape: Shape, height: int, width: int) -> bool:
    """Whether pictures of `shape`, halved some times, have this height and width."""
    factor = shape[1] // height if height else 0
    return factor > 0 and factor & (factor - 1) == 0 and shape[1:] == (height * factor, width * factor)


def find_cache(storage: Storage, names: Sequence[str], cache: bool | None) -> RawCache | None:
    """The raw cache of these files if there is one. `cache`: False never, None only if the hash is known already."""
    if cache is False:
        return None
    content = hashing.content_hash(storage, names) if cache else hashing.remembered(storage, names)
    return open_cache(content) if content else None


@dataclass(frozen=True)
class Opening:
    """How a dataset is opened: the options of `open_dataset`."""

    use_labels: bool
    max_size: int | None
    xflip: bool
    seed: int
    label_source: str
    cache: bool | None


def open_stored(storage: Storage, how: Opening, smaller: Sequence[ImageDataset] = ()) -> ImageDataset:
    """The dataset of the files in `storage`. Raises `InputError`."""
    names = [name for name in storage.names if is_picture(name)]
    if not names:
        raise InputError(
            f"expected pictures in {storage.path}, but none of its {len(storage.names)} files is one; check the path, "
            "or make a dataset of it with `openstylegan dataset`"
        )
    raw_cache = find_cache(storage, names, how.cache)
    shape = raw_cache.image_shape if raw_cache else common_shape(storage, names)
    labels = read_labels(storage, names, how.label_source) if how.use_labels else Labels()
    raw = subset(len(names), how.max_size, how.seed)
    return ImageDataset(storage, names, shape, labels, raw, how.xflip, raw_cache, smaller)


def open_storages(path: str | os.PathLike[str], resolution: int | tuple[int, int] | None) -> Sequence[Storage]:
    """The files at `path`: those of an LMDB at each of its sizes, smallest first, or at the asked resolution only; of
    a TFRecord set those of its highest resolution."""
    found = Path(path).expanduser()
    if is_tfrecord(found):
        return [TFRecordStorage(found)]
    if not is_lmdb_path(found):
        return [open_storage(found)]
    storages = open_lmdb_storages(found)
    shape = (resolution, resolution) if isinstance(resolution, int) else resolution
    fitting = [own for own in storages if shape == (own.size.height, own.size.width)]
    return fitting or storages


def open_dataset(
    path: str | os.PathLike[str],
    *,
    use_labels: bool = False,
    max_size: int | None = None,
    xflip: bool = False,
    seed: int = 0,
    resolution: int | tuple[int, int] | None = None,
    label_source: str = LABEL_FILE,
    cache: bool | None = None,
) -> ImageDataset:
    """Opens a folder, ZIP or LMDB of pictures of one shape (of an LMDB: of each of its sizes).

    `use_labels`: read labels, from `dataset.json` or (`label_source="folders"`) from the names of the first folders.
    `max_size`, `seed`: keep a random sub-set. `xflip`: every picture also mirrored, after all originals.
    `resolution`: what the pictures must measure, a side or (height, width).
    `cache`: True builds the raw cache when there is none, None uses one that exists, False ignores it.
    Raises `InputError` when the path is missing, holds no pictures, pictures of several shapes, or bad labels.
    """
    if label_source not in LABEL_SOURCES:
        raise InputError(f"expected labels from one of {', '.join(LABEL_SOURCES)}, got {label_source!r}")
    how = Opening(use_labels, max_size, xflip, seed, label_source, cache)
    *others, storage = open_storages(path, resolution)
    dataset = open_stored(storage, how, [open_stored(other, how) for other in others])
    check_channels(dataset)
    check_resolution(dataset.image_shape, resolution, storage.path)
    for level in (*dataset.smaller, dataset):
        if cache and level.raw_cache is None:
            level.build_raw_cache(os.cpu_count() or 1)
    return dataset

"""Pictures and datasets for the data tests; nothing is cached outside a test's own folder."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache folder of this test."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("OPENSTYLEGAN_CACHE_DIR", str(folder))
    return folder


def random_images(count: int, channels: int = 3, height: int = 8, width: int = 6, seed: int = 0) -> np.ndarray:
    """uint8 [count, H, W, C]."""
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, channels), dtype=np.uint8)


def png(image: np.ndarray) -> bytes:
    """A PNG by Pillow."""
    buffer = io.BytesIO()
    Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def images() -> Callable[..., np.ndarray]:
    """`images(count, channels, height, width, seed)`: random pictures."""
    return random_images


@pytest.fixture
def as_png() -> Callable[[np.ndarray], bytes]:
    """`as_png(image)`: encoded by Pillow."""
    return png


@pytest.fixture
def write_files() -> Callable[..., Path]:
    """`write_files(path, {name: bytes}, labels=None)`: a folder, or a ZIP when the path ends so."""

    def write(path: Path, files: dict[str, bytes], labels: Any = ..., method: int = zipfile.ZIP_STORED) -> Path:
        if labels is not ...:
            files = {**files, "dataset.json": json.dumps({"labels": labels}).encode()}
        if path.suffix == ".zip":
            with zipfile.ZipFile(path, "w", method) as archive:
                for name, data in files.items():
                    archive.writestr(name, data)
        else:
            for name, data in files.items():
                (path / name).parent.mkdir(parents=True, exist_ok=True)
                (path / name).write_bytes(data)
        return path

    return write


@pytest.fixture
def write_images(write_files: Callable[..., Path]) -> Callable[..., Path]:
    """`write_images(path, uint8 [N, H, W, C], labels=None)`: pictures as 00000/img00000000.png and on."""

    def write(path: Path, pictures: Sequence[np.ndarray], labels: Any = ..., **options: Any) -> Path:
        names = [f"00000/img{i:08d}.png" for i in range(len(pictures))]
        files = {name: png(picture) for name, picture in zip(names, pictures, strict=True)}
        if isinstance(labels, list):
            labels = [[name, label] for name, label in zip(names, labels, strict=True)]
        return write_files(path, files, labels, **options)

    return write

"""Small recordings for tests."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

soundfile = pytest.importorskip("soundfile", reason='sound needs soundfile: pip install "unrolled[sound]"')
pytest.importorskip("soxr", reason='sound needs soxr: pip install "unrolled[sound]"')

RATE = 16_000


def melody(seed: int, seconds: float = 0.3, rate: int = RATE, loudness: float = 0.4) -> np.ndarray:
    """Notes of 0.15 s at pitches that follow from the seed, with a little noise, float32."""
    generator = np.random.default_rng(seed)
    count = round(seconds * rate)
    pitches = generator.uniform(200, 3000, int(seconds / 0.15) + 1)
    phase = np.cumsum(pitches[np.arange(count) // round(0.15 * rate)] / rate)
    noise = generator.standard_normal(count) * 0.01
    return (loudness * (np.sin(2 * np.pi * phase) + noise) / 1.1).astype(np.float32)


def write(path: Path, samples: np.ndarray, rate: int = RATE, **how: Any) -> Path:
    """A sound file at `path`, whose suffix is its format unless told otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, **how)
    return path


def cut(path: Path) -> Path:
    """The file without its last third."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    return path


def heard(recordings: Any, part: Any = None) -> list[np.ndarray]:
    """The samples of each track that a part has."""
    tracks = [list(recordings.blocks(track, part)) for track in recordings.tracks]
    return [np.concatenate([np.empty(0, np.float32), *blocks]) for blocks in tracks]


def names(tracks: Any) -> list[str]:
    """The file names of tracks."""
    return [track.path.name for track in tracks]

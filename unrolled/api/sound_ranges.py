"""Sound of a run beside the sound it was trained on: the ranges that a run keeps, and what lies outside them."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from unrolled.codecs.sound import SoundCodec
from unrolled.core.errors import RunError
from unrolled.core.files import write_file
from unrolled.data.encoded import Part
from unrolled.data.sound_files import opened
from unrolled.inspection.collapse import Ranges, Verdict, judge_blocks, ranges_from_json, ranges_in
from unrolled.inspection.measures import MEMORY, SHORTEST, measured
from unrolled.store.documents import read_object, to_bytes
from unrolled.store.folders import RunFolder

RANGES = "sound_ranges.json"  # in a run folder
PLACES = 120  # seconds of training sound that are measured


def kept_ranges(folder: RunFolder) -> Ranges | None:
    """The ranges that a run keeps; None where there are none, or none that can be used."""
    try:
        return ranges_from_json(read_object(folder.path / RANGES))
    except RunError:
        return None


def ranges_of_part(folder: RunFolder, codec: SoundCodec, part: Part) -> Ranges:
    """The ranges of a training part, measured once and then kept in the run.

    Raises: DataError for sound that is too short or silence only.
    """
    found = kept_ranges(folder)
    if found is None:
        rows = [measured(heard, begin, codec.rate) for heard, begin in seconds_of(codec, part)]
        found = ranges_in(rows, codec.rate)
        with suppress(OSError):  # of a run that cannot be written to
            write_file(folder.path / RANGES, to_bytes(found.to_json(), 2))
    return found


def seconds_of(codec: SoundCodec, part: Part) -> Iterator[tuple[np.ndarray, int]]:
    """PLACES seconds that lie evenly on a part, or all there are, each with what was heard before it and its place.

    They are as the model hears them, and those of a track shorter than a second are shorter.
    """
    rate, starts = codec.rate, part.starts.astype(np.int64)
    lengths = np.diff(starts) - 1  # without the begin symbol
    counts = np.where(lengths >= SHORTEST * rate, np.maximum(1, lengths // rate), 0)
    ends = np.cumsum(counts)
    total = int(counts.sum())
    for place in np.linspace(0, total - 1, min(total, PLACES)).astype(int).tolist():
        track = int(np.searchsorted(ends, place, side="right"))
        first, begin = int(starts[track]) + 1, (place - int(ends[track] - counts[track])) * rate
        memory = max(0, begin - int(MEMORY * rate))
        end = min(begin + rate, int(lengths[track]))
        yield codec.decode(part.symbols[first + memory : first + end]), begin - memory


def verdict_on(path: Path, codec: SoundCodec, ranges: Ranges) -> Verdict:
    """What a sound file is like beside training sound, both as the model hears them.

    Raises: DataError for a file that cannot be read or is too short.
    """
    with opened(path) as reader:
        return judge_blocks(map(codec.normalise, reader.mono(codec.rate)), codec.rate, ranges)


def scores_of(verdict: Verdict) -> dict[str, Any]:
    """A verdict as it is kept with a sample."""
    data = verdict.to_json()
    return {"soundness": data["score"], **{name: data[name] for name in ("excess", "verdicts", "findings")}}

"""What is said before a training begins: how long it takes, how much memory, and what to compare its figures with."""

import sys
from dataclasses import replace

import numpy as np

from unrolled.codecs.sound import SoundCodec
from unrolled.core.errors import DataError
from unrolled.data.encoded import Encoded, Part
from unrolled.inspection.baselines import baselines

LISTENED = 1_000_000  # symbols of each part that trivial predictors are tried on: less than a second of work


def needs(steps: int, update_seconds: float) -> str:
    """Time and memory in words; the memory is the most that this process has taken so far, trial updates included."""
    minutes = steps * update_seconds / 60
    time = f"about {minutes:.0f} min" if minutes >= 2 else f"about {minutes * 60:.0f} s"
    peak = peak_memory()
    return time if peak is None else f"{time}, {peak / 1e9:.1f} GB of memory"


def peak_memory() -> int | None:
    """The most bytes that this process has held; None where the system does not tell."""
    try:
        import resource
    except ImportError:  # on Windows
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def sound_to_beat(encoded: Encoded, codec: SoundCodec) -> str:
    """What trivial predictors score on the sound at hand; "" where it is too short for them."""
    test = encoded.validation if len(encoded.validation.symbols) > 1 else encoded.train
    try:
        found = baselines(beginning(encoded.train), beginning(test), codec)
    except DataError:
        return ""
    return (
        f"to beat on the {test.name} part: linear prediction with {found.best:.2f} bits/sample, level frequencies with "
        f"{found.frequencies:.2f}; above the first a model only hisses"
    )


def beginning(part: Part) -> Part:
    """The first symbols of a part."""
    starts = np.append(part.starts[part.starts < LISTENED], min(LISTENED, len(part.symbols)))
    starts = np.unique(starts)
    return replace(part, symbols=part.symbols[: starts[-1]], starts=starts, fields=part.fields[: len(starts) - 1])

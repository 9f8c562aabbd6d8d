"""The part of `curate` that is for sounds: their pictures, scores and playing."""

import json
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from unrolled.cli.curate_loop import KEYS
from unrolled.cli.terminal import is_terminal, say
from unrolled.core.errors import UnrolledError

if TYPE_CHECKING:
    from unrolled.api.sound_curation import SoundCandidate
    from unrolled.api.sound_judging import Judge

TRUE_COLOURS = ("truecolor", "24bit")  # values of COLORTERM
WIDEST = 120  # columns of a picture
WAVEFORM, SPECTROGRAM = 8, 32  # its pixels, two in a line


class SoundChoice:
    """Sounds to choose from, as a judge finds them."""

    keys = f"p play · {KEYS}"
    next_step = ""

    def __init__(self, judge: "Judge", request: Any) -> None:
        self.judge, self.request = judge, request

    def candidates(self, count: int) -> "list[SoundCandidate]":
        """So many new ones."""
        from unrolled.api.sound_curation import sound_candidates

        return sound_candidates(self.judge, self.request, count)

    def best(self, count: int, by: Any, chosen: int) -> "list[SoundCandidate]":
        """The best of so many new ones."""
        from unrolled.api.sound_curation import best_sounds

        return best_sounds(self.judge, self.request, count, by or "soundness", chosen)

    def show(self, candidate: "SoundCandidate", title: str) -> None:
        """A sound with its picture, where a terminal can, and its scores."""
        what = f"sample {candidate.sample} · {candidate.seconds:.1f} s · {candidate.likelihood:.2f} nats a symbol"
        say(f"── {title + ' · ' if title else ''}{what}")
        if shows_colours():
            sys.stdout.write(self.pictured(candidate))
        if candidate.verdict is not None:
            say(f"   {candidate.verdict.words()}")
            say(f"   {candidate.verdict.measures()}")
        if candidate.copied is not None:
            say(f"   {candidate.copied.words()}")
        say(f"   {candidate.path}")
        say(f"   {candidate.path.with_suffix('.png')}\n")

    def pictured(self, candidate: "SoundCandidate") -> str:
        """The waveform above the spectrogram in coloured half blocks."""
        import numpy as np

        from unrolled.api.sound_judging import samples_of
        from unrolled.inspection.canvas import terminal
        from unrolled.inspection.pictures import spectrogram, waveform

        samples = samples_of(candidate.path, self.judge.rate)
        width = min(WIDEST, shutil.get_terminal_size().columns)
        parts = waveform(samples, width, WAVEFORM), spectrogram(samples, self.judge.rate, width, SPECTROGRAM)
        return terminal(np.concatenate(parts))

    def press(self, key: str, candidate: "SoundCandidate", stopped: Callable[[], bool]) -> bool:
        """Play on p, until another key is pressed."""
        if key != "p":
            return False
        from unrolled.api.sound_judging import samples_of
        from unrolled.generation.playing import SoundCard, play

        try:
            play(samples_of(candidate.path, self.judge.rate), self.judge.rate, SoundCard(self.judge.rate), stopped)
        except UnrolledError as problem:
            say(str(problem))
        return True

    def facts(self, candidate: "SoundCandidate") -> dict[str, Any]:
        """A sound with its scores as JSON."""
        return {"sample": candidate.sample, **candidate.record()}

    def export(self, kept: "Sequence[SoundCandidate]") -> str:
        """One line for each file, with its scores."""
        return "".join(json.dumps(candidate.record(), ensure_ascii=False) + "\n" for candidate in kept)


def shows_colours() -> bool:
    """Whether the output is a terminal of 24-bit colours that wants them and has half blocks."""
    if not is_terminal(sys.stdout) or os.environ.get("NO_COLOR") or os.environ.get("COLORTERM") not in TRUE_COLOURS:
        return False
    return "utf" in (getattr(sys.stdout, "encoding", None) or "").lower()

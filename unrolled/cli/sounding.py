"""The part of `generate` that is for sound."""

import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from unrolled.cli.terminal import json_line, say
from unrolled.core.errors import UsageError


@dataclass(frozen=True)
class Lasting:
    """How sound is made."""

    seconds: float = 5.0
    """length of a piece of sound"""
    fold: int = 1
    """streams that make one piece, side by side in one batch, each fading into the next: long pieces come sooner"""
    overlap: float = 1.0
    """seconds that one of them takes to fade into the next"""


@dataclass(frozen=True)
class Sounding(Lasting):
    """What to do with sound."""

    output: Path | None = None
    """file to write sound to, .flac, .wav or .ogg; several are numbered (default: in the run folder)"""
    play: bool = False
    """play the first piece while it is made"""


ONLY_TEXT, ONLY_SOUND = {"length"}, {"seconds", "fold", "overlap", "output", "play"}


def refuse_others(run: Any, given: frozenset[str]) -> None:
    """Raises: UsageError for an option that is not for what the run makes."""
    from unrolled.api.sound_run import SoundRun

    is_sound = isinstance(run, SoundRun)
    wrong = sorted(given & (ONLY_TEXT if is_sound else ONLY_SOUND))
    if wrong:
        made, cure = ("sound", "use --seconds") if is_sound else ("text", "leave it out")
        raise UsageError(f"--{wrong[0]} is not for run {run.folder.name}, which makes {made}: {cure}")


def make_sound(run: Any, request: Any, sounding: Sounding, count: int, as_json: bool) -> int:
    """Make pieces of sound, playing the first if that is asked for; 130 after Ctrl-C, with what was made until then."""
    from unrolled.generation.playing import Pace, Player, SoundCard

    rate = run.codec.rate
    paths = [place(run, request, sounding.output, number, count) for number in range(count)]
    player = Player(SoundCard(rate), rate) if sounding.play else None
    pace, code, samples = Pace(rate), 0, []

    def hear(block: Any) -> None:
        pace.arrived(len(block))
        if player is not None:
            player.write(block)
        pace.resumed()

    try:
        samples = run.render(request, paths, hear, note=lambda text: say(text, sys.stderr))
    except KeyboardInterrupt:
        say("interrupted; what was made is kept", sys.stderr)
        code = 130
    finally:
        if player is not None:
            player.close(at_once=code != 0)
    for sample in samples:
        if as_json:
            sys.stdout.write(json_line(asdict(sample)) + "\n")
        else:
            say(sample.text)
        if sample.scores.get("verdicts"):
            found = f"{', '.join(sample.scores['verdicts'])} (soundness {sample.scores['soundness']:.2f} of 1)"
            say(f"{sample.text}: {found}: unrolled curate chooses from several", sys.stderr)
    words = f"{pace.seconds:.1f} s of sound, {pace.realtime_factor:.2f} times as fast as it plays"
    say(f"\u2014 {run.folder.name}: {words if player is None else player.words()}", sys.stderr)
    return code


def place(run: Any, request: Any, output: Path | None, number: int, count: int) -> Path:
    """Where a piece is written."""
    if output is None:
        return run.place(request, number)
    return output if count == 1 else output.with_stem(f"{output.stem}-{number + 1}")

"""`unrolled album [RUN]`: tracks with tags, a cover and a track list in a folder."""

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from unrolled.cli.arguments import option, parse, positional
from unrolled.cli.curate_loop import decide
from unrolled.cli.curate_sound import SoundChoice
from unrolled.cli.engine import Stepping, tell_cost
from unrolled.cli.terminal import say
from unrolled.core.errors import UsageError

if TYPE_CHECKING:
    from unrolled.api.album import Album, Plan
    from unrolled.api.sound_curation import SoundCandidate

DESCRIPTION = """
Make an album: FLAC files with tags, a cover made from their spectrograms, and a track list with seeds and scores. Each
track is the soundest of several, or the one that a person keeps; or the tracks are the samples that were kept before.
After an interruption the same command goes on after the last track that is finished.

  unrolled album loops-wavenet-1 --tracks 8 --minutes 3
  unrolled album loops-wavenet-1 --lengths 180,95 --curate
  unrolled album loops-wavenet-1 --kept --title "The best of it"
"""


@dataclass(frozen=True)
class Command:
    """What is on the album."""

    run: str | None = positional(default=None)
    """name or path of a run; the newest one if left out"""
    tracks: int = 8
    """tracks of equal length"""
    minutes: float = 3.0
    """length of each"""
    lengths: str = option(default="", metavar="SECONDS,...")
    """length of each track, instead of the two above"""
    of: int = 3
    """sounds that each track is chosen from"""
    by: Literal["likelihood", "novelty", "soundness"] = "soundness"
    """what makes a sound the best"""
    curate: bool = False
    """ask which sound becomes a track: the first that is kept"""
    kept: bool = False
    """make no new sound: the tracks are what was kept in the run, the highest rated first"""
    title: str = ""
    """of the album (default: the name of the run)"""
    artist: str = "unrolled"
    """who made it"""
    output: Path | None = None
    """folder to write to (default: in the run folder)"""
    fold: int = 1
    """streams that make one track, side by side in one batch, each fading into the next: long tracks come sooner"""
    overlap: float = 1.0
    """seconds that one of them takes to fade into the next"""
    prompt: str = ""
    """recording that every track goes on from"""
    seed: int = 0
    """number that every draw follows from"""
    stream: int = 0
    """number of the first sound"""
    where: dict[str, str] = option(default_factory=dict, metavar="FIELD=VALUE")
    """condition on a field of the recordings; may be repeated"""
    runs: Path = Path("runs")
    """folder that holds the runs"""


def main(arguments: Sequence[str]) -> int:
    """Make what is missing of an album."""
    from unrolled.generation.rules import Rules

    command, stepping, rules = parse("album", DESCRIPTION, arguments, Command, Stepping, Rules).values
    lengths = () if command.kept else track_lengths(command)
    from unrolled.api.album import open_album, usual_folder
    from unrolled.api.runs import writing_run
    from unrolled.api.sound_run import SoundRequest, SoundRun

    run = writing_run("album", command.run, command.runs)
    if not isinstance(run, SoundRun):
        raise UsageError(f"run {run.folder.name} makes no sound: name a run of a sound system")
    request = SoundRequest(
        prompt=command.prompt, fold=command.fold, overlap=command.overlap, seed=command.seed, stream=command.stream,
        where=command.where, rules=rules.validate(), engine=stepping.engine, precision=stepping.precision,
        threads=stepping.threads,
    )  # fmt: skip
    for seconds in lengths:
        run.lengths(replace(request, seconds=seconds))  # refused before anything is made
    plan = make_plan(command, run, request, lengths)
    album = open_album(command.output or usual_folder(run, plan.title), plan)
    tell_cost(run, stepping.precision)
    code = 0
    try:
        code = add_kept(album, run) if command.kept else add_new(album, command, run, request)
    except KeyboardInterrupt:
        code = 130
    return finished(album, run, code, len(lengths) or len(album.tracks))


def track_lengths(command: Command) -> tuple[float, ...]:
    """Seconds of each track. Raises: UsageError for lengths that are none."""
    try:
        lengths = tuple(map(float, command.lengths.split(","))) if command.lengths else ()
    except ValueError:
        raise UsageError(f"--lengths {command.lengths}: pass seconds, as in --lengths 180,95") from None
    lengths = lengths or (command.minutes * 60,) * command.tracks
    if not lengths or not all(0 < seconds < float("inf") for seconds in lengths) or command.of < 1:
        raise UsageError("an album needs a track or more, of more than 0 seconds, each the best of 1 or more")
    return lengths


def make_plan(command: Command, run: Any, request: Any, lengths: tuple[float, ...]) -> "Plan":
    """All that the album follows from."""
    from unrolled.api.album import Plan
    from unrolled.store.documents import plain

    chosen = {"of": command.of, "by": command.by, "curate": command.curate}
    asked = {name: value for name, value in asdict(request).items() if name not in ("seconds", "threads")}
    settings = {} if command.kept else plain({**asked, **chosen})
    return Plan(command.title or run.folder.name, command.artist, run.model_sha256, lengths, settings)


def add_kept(album: "Album", run: Any) -> int:
    """Add what was kept in the run and is not on the album yet."""
    from unrolled.api.album import kept_sounds

    there = {track.sample.id for track in album.tracks}
    for candidate in kept_sounds(run):
        if candidate.sample not in there:
            told(album, candidate, run)
    if not album.tracks:
        raise UsageError(f"nothing is kept in run {run.folder.name}: keep sounds with `unrolled curate` first")
    return 0


def add_new(album: "Album", command: Command, run: Any, request: Any) -> int:
    """Make the tracks that are missing."""
    from unrolled.api.curation import next_stream
    from unrolled.api.sound_judging import Judge

    judge, each = Judge(run, lambda text: say(text, sys.stderr)), command.of * command.fold
    for number in range(len(album.tracks), len(album.plan.lengths)):
        asked = replace(request, seconds=album.plan.lengths[number], stream=command.stream + number * each)
        if command.curate:
            asked = replace(asked, stream=max(asked.stream, next_stream(run, command.seed)))
            choice = SoundChoice(judge, asked)
            found, code = decide(run, choice.candidates(command.of), choice, enough=1)
            if not found:
                return code
        else:
            found = SoundChoice(judge, asked).best(command.of, command.by, 1)
        told(album, found[0], run)
    return 0


def told(album: "Album", candidate: "SoundCandidate", run: Any) -> None:
    """Add a track and say so."""
    track = album.add(candidate, run)
    verdict = "" if candidate.verdict is None else f": {candidate.verdict.words()}"
    say(f"{album.folder / track.file}{verdict}")


def finished(album: "Album", run: Any, code: int, wanted: int) -> int:
    """Draw the cover of an album that is whole, or say how to go on; the exit code."""
    if len(album.tracks) < wanted:
        say(
            f"{len(album.tracks)} of {wanted} tracks are finished in {album.folder}: the same command goes on",
            sys.stderr,
        )
        return code
    album.draw_cover(run.codec.rate)
    say(str(album.folder))
    return code

"""Albums: tracks of a run in a folder with tags, a cover and a track list, finished one by one."""

import os
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from unrolled.api.sound_curation import SoundCandidate
from unrolled.api.sound_judging import samples_of
from unrolled.api.sound_run import SoundRun
from unrolled.core.errors import RunError, UsageError
from unrolled.core.files import write_file
from unrolled.data.sound_files import opened
from unrolled.generation.sound_writer import SoundWriter, Tags
from unrolled.inspection.canvas import png
from unrolled.inspection.memorisation import clock
from unrolled.inspection.pictures import cover
from unrolled.store.configs import from_json
from unrolled.store.documents import read_object, to_bytes
from unrolled.store.folders import RATINGS, SAMPLES
from unrolled.store.journal import records
from unrolled.store.records import Rating, Sample, verdicts

PLAN, TRACKLIST, COVER = "album.json", "tracklist.md", "cover.png"
FOLDER = "albums"  # in a run folder


@dataclass(frozen=True)
class Plan:
    """What an album is made of: so many seconds for each track, or what was kept in the run if there are none."""

    title: str
    artist: str
    model_sha256: str
    lengths: tuple[float, ...]
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class AlbumTrack:
    """A track that is finished; `sample` is that of the run which it was written from."""

    file: str
    title: str
    seconds: float
    sample: Sample


@dataclass
class Album:
    """An album in its folder."""

    folder: Path
    plan: Plan
    tracks: list[AlbumTrack]

    def add(self, candidate: SoundCandidate, run: SoundRun) -> AlbumTrack:
        """Write the next track, and after it the plan and the track list: from here on it is not lost."""
        number, made = len(self.tracks) + 1, candidate.made
        title = f"Track {number}"
        path = self.folder / f"{number:02d} {title}.flac"
        part = path.with_name(f".{path.stem}.part.flac")
        tags = Tags(title, self.plan.artist, self.plan.title, number, comment(made, run))
        with opened(candidate.path) as reader, SoundWriter(part, run.codec.rate, tags, replace=True) as writer:
            for block in reader.mono(run.codec.rate):
                writer.write(block)
            seconds = writer.seconds
        os.replace(part, path)
        track = AlbumTrack(path.name, title, seconds, made)
        self.tracks.append(track)
        self.keep()
        return track

    def keep(self) -> None:
        """Write what is finished so far."""
        tracks = [asdict(track) for track in self.tracks]
        write_file(self.folder / PLAN, to_bytes({"plan": asdict(self.plan), "tracks": tracks}, 2))
        write_file(self.folder / TRACKLIST, self.tracklist().encode())

    def draw_cover(self, rate: int) -> None:
        """Write the cover: the spectrograms of all tracks."""
        tracks = [samples_of(self.folder / track.file, rate) for track in self.tracks]
        write_file(self.folder / COVER, png(cover(tracks, rate)))

    def tracklist(self) -> str:
        """The track list in Markdown."""
        lines = [
            f"| {number} | {track.title} | {clock(track.seconds)} | {track.sample.seed} | {track.sample.stream} "
            f"| {sound_in_words(track.sample)} | {copy_in_words(track.sample)} |"
            for number, track in enumerate(self.tracks, 1)
        ]
        total = clock(sum(track.seconds for track in self.tracks))
        header = [
            "|  | Title | Length | Seed | Stream | Soundness | Nearest training sound |",
            "| ---: | --- | ---: | ---: | ---: | --- | --- |",
        ]
        return "\n".join(
            [f"# {self.plan.title}", "", f"{self.plan.artist}. {len(lines)} tracks, {total}.", "", *header, *lines, ""]
        )


def open_album(folder: Path, plan: Plan) -> Album:
    """The album in a folder, as far as it is finished, or a new one.

    Raises: UsageError if the folder holds anything else; RunError for an album that is damaged.
    """
    if (folder / PLAN).exists():
        data = read_object(folder / PLAN)
        found = from_json(Plan, data.get("plan", {}), str(folder / PLAN))
        if found != plan:
            raise UsageError(f"{folder}: holds an album that was asked for differently: choose another --output")
        album = Album(folder, plan, [track_from_json(track, str(folder / PLAN)) for track in data.get("tracks", [])])
        lost = [track.file for track in album.tracks if not (folder / track.file).is_file()]
        if lost:
            raise RunError(f"{folder / lost[0]}: missing, but {PLAN} lists it: put it back, or choose another --output")
        return album
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise UsageError(f"{folder}: holds something that is no album: choose another --output")
        album = Album(folder, plan, [])
        album.keep()
    except OSError as problem:
        raise UsageError(f"{folder}: cannot be written ({problem.strerror}): choose another --output") from None
    return album


def track_from_json(data: Any, source: str) -> AlbumTrack:
    """A track of album.json. Raises: RunError for anything else."""
    try:
        file, title, seconds = str(data["file"]), str(data["title"]), float(data["seconds"])
        sample = from_json(Sample, data["sample"], source)
    except (KeyError, TypeError, ValueError):
        file, title, seconds, sample = "", "", 0.0, None
    if sample is None or not file or Path(file).name != file:
        raise RunError(f"{source}: lists a track that is none ({str(data)[:60]}): choose another --output")
    return AlbumTrack(file, title, seconds, sample)


def usual_folder(run: SoundRun, title: str) -> Path:
    """Where an album lies that nobody named a folder for."""
    name = re.sub(r"[^\w-]+", "-", title).strip("-").lower() or "album"
    return run.folder.path / FOLDER / name


def kept_sounds(run: SoundRun) -> list[SoundCandidate]:
    """The sounds of a run that somebody kept and whose files are there, those rated highest first."""
    path = run.folder.path
    decided = verdicts(from_json(Rating, record, RATINGS) for record in records(path / RATINGS))
    made = (from_json(Sample, record, SAMPLES) for record in records(path / SAMPLES))
    kept = [sample for sample in made if sample.id in decided and decided[sample.id].kept]
    found = [SoundCandidate(sample) for sample in kept if Path(sample.text).is_file()]
    return sorted(found, key=lambda candidate: -(decided[candidate.sample].rate or 0))


def comment(sample: Sample, run: SoundRun) -> str:
    """What made a track, in one line."""
    made = f"{run.config.system} {run.folder.name}, model {sample.model_sha256[:12]}"
    return f"{made}, seed {sample.seed}, stream {sample.stream}, sample {sample.id}"


def sound_in_words(sample: Sample) -> str:
    """How sound a track is."""
    if "soundness" not in sample.scores:
        return "not known"
    return ", ".join([f"{sample.scores['soundness']:.2f}", *sample.scores["verdicts"]])


def copy_in_words(sample: Sample) -> str:
    """What training sound is nearest to a track."""
    report = sample.scores.get("memorisation")
    if report is None or report["nearest"] is None:
        return "not known"
    nearest: dict[str, Any] = report["nearest"]
    copied = f", {report['copied']:.0%} copied" if report["copied"] else ""
    return f"{clock(nearest['place'])} of {nearest['track']}, similarity {nearest['similarity']:.2f}{copied}"

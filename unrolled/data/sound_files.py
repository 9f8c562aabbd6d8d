"""One sound file to mono samples in blocks of bounded size, through soundfile and soxr."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import numpy as np

from unrolled.core.errors import DataError, UsageError
from unrolled.data.reading import head, why_not_text
from unrolled.data.sound_shortfall import shortfall
from unrolled.data.sound_sources import SUFFIXES

BLOCK = 1 << 16  # samples of one block, before and after resampling
RATES = range(1_000, 768_001)
LARGEST = 2.0**31  # some files hold whole numbers as floats; what is above those is no sample
FLAT = 0.99  # from here on equal samples in a row are clipped ones
MP3_SLACK = 2 * 1152  # frames by which decoders differ at the ends of MP3

BITS = {"PCM_S8": 8, "PCM_U8": 8, "PCM_24": 24, "PCM_32": 32, "DOUBLE": 64, "ALAC_20": 20, "ALAC_24": 24, "ALAC_32": 32}


class Fault(DataError):
    """A sound file that cannot be used; `kind` is a word or two for lists of faults."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True)
class Header:
    """What a sound file says of itself; `frames` is None where it does not say."""

    format: str
    subtype: str
    rate: int
    channels: int
    frames: int | None

    def notes(self, path: Path, rate: int) -> list[str]:
        """What becomes of the file when it is read at `rate`, and a suffix that says something else."""
        notes = []
        if path.suffix.lower() not in SUFFIXES.get(self.format, (path.suffix.lower(),)):
            notes.append(f"{self.format} by its content, {path.suffix or 'without suffix'} by its name")
        if self.rate > rate:
            notes.append(f"lowered from {self.rate:,} to {rate:,} samples a second")
        if self.rate < rate:
            notes.append(f"raised from {self.rate:,} to {rate:,} samples a second: nothing above {self.rate // 2:,} Hz")
        if self.channels > 1:
            notes.append(f"{self.channels} channels mixed down to one")
        if self.subtype in BITS:
            notes.append(f"{BITS[self.subtype]} bits a sample")
        return notes


class SoundReader:
    """One sound file, read once from its beginning.

    After the last block `frames` is how many frames there were, `range` how far the extremes of their means lie apart,
    `clipped` how many samples stand flat at full scale or beyond it, and `doubts` what may be wrong.
    """

    def __init__(self, path: Path, file: Any, header: Header) -> None:
        self.path, self.file, self.header = path, file, header
        self.frames = self.clipped = 0
        self.lowest, self.highest = math.inf, -math.inf
        self.doubts: list[str] = []

    def mono(self, rate: int) -> Iterator[np.ndarray]:
        """The mean of all channels at `rate` samples a second, in float32 blocks of about `BLOCK` samples at most.

        Raises: Fault for what cannot be decoded, is cut off, is empty or holds something else than finite numbers.
        """
        size = max(1, min(BLOCK, BLOCK * self.header.rate // rate) // self.header.channels)
        means = (self.mean(block) for block in self.blocks(size))
        if rate == self.header.rate:
            yield from means
            return
        resampler = package("soxr").ResampleStream(self.header.rate, rate, 1, "float32", "HQ")
        for mean in means:
            yield resampler.resample_chunk(mean)
        yield resampler.resample_chunk(np.empty(0, np.float32), last=True)

    def mean(self, block: np.ndarray) -> np.ndarray:
        """The mean of the channels."""
        mean = block.mean(axis=1, dtype=np.float32)
        self.lowest, self.highest = min(self.lowest, float(mean.min())), max(self.highest, float(mean.max()))
        return mean

    @property
    def range(self) -> float:
        """The distance between the extremes, at the rate of the file: resampling rings where an offset begins."""
        return max(0.0, self.highest - self.lowest)

    def blocks(self, size: int) -> Iterator[np.ndarray]:
        """Float32 arrays [frames, channels] of at most `size` frames; each is gone when the next is read."""
        buffer = np.empty((size, self.header.channels), np.float32)
        failure = package("soundfile").SoundFileError
        while True:
            try:
                block = self.file.read(out=buffer)
            except failure as error:
                raise Fault(
                    "damaged",
                    f"{self.path}: cannot be decoded after {self.seconds:.2f} s ({words(error)}): "
                    f"it is damaged or cut off; copy or export it again",
                ) from error
            if not len(block):
                break
            self.check(block)
            self.frames += len(block)

            yield block
        self.check_end()

    @property
    def seconds(self) -> float:
        """How much has been read."""
        return self.frames / self.header.rate

    def check(self, block: np.ndarray) -> None:
        """Refuse what is no sample and count what is clipped."""
        size = np.abs(block)
        usable = size <= LARGEST  # false for what is not a number
        if not usable.all():
            row, channel = np.argwhere(~usable)[0]
            place = (self.frames + int(row)) / self.header.rate
            raise Fault(
                "not finite",
                f"{self.path}: holds {block[row, channel]:g} at {place:.3f} s, which is no sample (full scale is 1): "
                f"export it again",
            )
        flat = (block[2:] == block[1:-1]) & (block[1:-1] == block[:-2]) & (size[1:-1] >= FLAT)
        self.clipped += int(np.count_nonzero(flat)) + int(np.count_nonzero(size > 1))

    def check_end(self) -> None:
        """Refuse a file that held nothing, or less than its header states."""
        if not self.frames:
            raise Fault(
                "empty", f"{self.path}: its header states that it holds no samples: record, export or repair it"
            )
        stated = self.header.frames or 0
        if self.header.format == "MP3":  # its header may hold an estimate
            if self.frames + MP3_SLACK < stated:
                self.doubts.append(f"ends after {self.seconds:.1f} of about {stated / self.header.rate:.1f} s")
        elif self.frames < stated:
            raise Fault(
                "truncated",
                f"{self.path}: cut off after {self.seconds:.2f} of {stated / self.header.rate:.2f} s: "
                f"copy it again, or save what is left as a new file",
            )


@contextmanager
def opened(path: Path) -> Iterator[SoundReader]:
    """A sound file to be read; what it is is told by its content and not by its name.

    Raises: DataError for what is no sound; UsageError where the packages for sound are missing.
    """
    soundfile = package("soundfile")
    package("soxr")
    with raw_file(path) as raw:
        lacking = shortfall(path)
        if lacking:
            raise Fault("truncated", f"{path}: cut off, {lacking}: copy it again, or save what is left as a new file")
        try:
            file = soundfile.SoundFile(raw.fileno(), closefd=False)
        except soundfile.SoundFileError as error:
            raise no_sound(path, words(error)) from error
        with file:
            yield SoundReader(path, file, checked_header(path, file))


def raw_file(path: Path) -> Any:
    """The bytes of a file that has some."""
    try:
        if not path.is_file():
            raise DataError(f"{path}: no such file or not a regular one: check the name, or copy its content to a file")
        if not path.stat().st_size:
            raise Fault("empty", f"{path}: zero bytes long: record or export it again")
        return open(path, "rb", buffering=0)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}): check the file and its rights") from error


def checked_header(path: Path, file: Any) -> Header:
    """What an open file says of itself, if that can be true."""
    file.seekable = lambda: False  # else soundfile seeks after each block, which costs Ogg and MP3 time and samples
    if file.samplerate not in RATES:
        raise Fault(
            "strange rate",
            f"{path}: states {file.samplerate:,} samples a second: resample it to {RATES[0]:,} up to {RATES[-1]:,}",
        )
    frames = file.frames if 0 < file.frames < 1 << 62 else None
    return Header(file.format, file.subtype, file.samplerate, file.channels, frames)


def no_sound(path: Path, reason: str) -> Fault:
    """The fault of a file that libsndfile cannot open."""
    if why_not_text(head(path, ""), strict=True) is None:
        return Fault("not sound", f"{path}: holds text, not sound: name recordings only")
    return Fault(
        "not sound",
        f"{path}: no sound file that can be read ({reason}): convert it to WAV or FLAC, for example with ffmpeg",
    )


def words(error: Exception) -> str:
    """What libsndfile says, on one line and without the name of the file."""
    return " ".join(str(getattr(error, "error_string", error)).split()).rstrip(".")


def package(name: Literal["soundfile", "soxr"]) -> Any:
    """A package that only sound needs.

    Raises: UsageError where it cannot be imported.
    """
    try:
        return import_module(name)
    except (ImportError, OSError) as error:  # OSError: it finds no libsndfile
        raise UsageError(
            f'sound needs the package {name}, which cannot be imported here: pip install "unrolled[sound]"'
        ) from error

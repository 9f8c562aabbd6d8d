"""Sound files that are written block by block while sound is made, and that can be played at any time."""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from io import BufferedWriter
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from unrolled.core.errors import DataError, UsageError
from unrolled.data.sound_files import package

MOST_BYTES = 0xFFFFFFFF - (1 << 16)  # of samples in a WAV file, whose sizes have 32 bits
OGG_RATES = range(8_000, 192_001)
SOFTWARE = "unrolled"
INFO = {  # names of tags in RIFF
    "title": b"INAM",
    "artist": b"IART",
    "album": b"IPRD",
    "track": b"ITRK",
    "comment": b"ICMT",
    "software": b"ISFT",
}


@dataclass(frozen=True)
class Tags:
    """What a sound file says of itself; what is empty is left out. `track` counts from 1."""

    title: str = ""
    artist: str = ""
    album: str = ""
    track: int | None = None
    comment: str = ""

    def texts(self) -> dict[str, str]:
        """The tags that are given, and the software."""
        track = "" if self.track is None else str(self.track)
        texts = {"title": self.title, "artist": self.artist, "album": self.album, "track": track}
        texts |= {"comment": self.comment, "software": SOFTWARE}
        return {name: text.replace("\0", " ") for name, text in texts.items() if text}


class Encoder(Protocol):
    """Puts blocks of samples into an open file."""

    def write(self, samples: np.ndarray) -> None:
        """Add samples."""
        ...

    def close(self) -> None:
        """Make the file complete."""
        ...


class SoundWriter:
    """Writes mono samples between -1 and 1 to a new file: WAV or FLAC of 16 bits, or Ogg Vorbis, by its suffix.

    What lies beyond -1 and 1 is clipped. A WAV file states its length after each block, so even a process that is
    killed leaves it whole; FLAC and Ogg files are complete once closed, which an interrupt does where the writer is a
    context manager. A file without a sample is taken away again. Only FLAC and Ogg need soundfile.
    Raises: UsageError for another suffix, for a path that cannot be written to and, unless `replace`, for one that is
    there already.
    """

    def __init__(self, path: str | Path, rate: int, tags: Tags | None = None, replace: bool = False) -> None:
        self.path, self.rate, self.samples = Path(path), rate, 0
        encoder = ENCODERS.get(self.path.suffix.lower())
        if encoder is None:
            raise UsageError(f"{self.path}: sound is written as {', '.join(ENCODERS)}: give the file such a suffix")
        if encoder is not WavEncoder:
            package("soundfile")  # before a file is made
        self.file = new_file(self.path, replace)
        try:
            self.encoder: Encoder | None = encoder(self.file, rate, tags or Tags())
        except BaseException:
            self.file.close()
            self.path.unlink(missing_ok=True)
            raise

    @property
    def seconds(self) -> float:
        """How much has been written."""
        return self.samples / self.rate

    def write(self, block: np.ndarray) -> None:
        """Add samples, in pieces of a second: encoders of Ogg can fail on long ones.

        Raises: DataError for what is no finite number, and where a file would become too long; UsageError if closed.
        """
        if self.encoder is None:
            raise UsageError(f"{self.path}: is closed: write to a new file")
        if block.ndim != 1 or not np.isfinite(block).all():
            raise DataError(f"{self.path}: a block of shape {block.shape} is no row of finite samples: render it again")
        for start in range(0, len(block), self.rate):
            piece = block[start : start + self.rate]
            self.samples += len(piece)
            self.encoder.write(piece)

    def close(self) -> None:
        """Complete the file; more than once is allowed."""
        if self.encoder is None:
            return
        encoder, self.encoder = self.encoder, None
        try:
            encoder.close()
        finally:
            self.file.close()
            if not self.samples:
                self.path.unlink(missing_ok=True)

    def __enter__(self) -> "SoundWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class WavEncoder:
    """RIFF WAVE with 16 bits a sample, whose sizes are right after each block.

    Source: Microsoft and IBM 1991, "Multimedia Programming Interface and Data Specifications 1.0", chapters 2 and 3.
    """

    def __init__(self, file: BufferedWriter, rate: int, tags: Tags) -> None:
        self.file, self.bytes = file, 0
        form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16)
        info = b"".join(riff(INFO[name], text.encode() + b"\0") for name, text in tags.texts().items())
        self.before = b"WAVE" + form + riff(b"LIST", b"INFO" + info)
        self.state()

    def write(self, samples: np.ndarray) -> None:
        """Add samples, then state how many there are."""
        data = whole_numbers(samples).astype("<i2").tobytes()
        if self.bytes + len(data) > MOST_BYTES:
            raise DataError("a WAV file holds no more than 4 GiB: write FLAC, or several files")
        self.file.seek(self.end)
        self.file.write(data)
        self.bytes += len(data)
        self.state()

    @property
    def end(self) -> int:
        """Where the next sample goes."""
        return len(self.before) + 16 + self.bytes

    def state(self) -> None:
        """Write the sizes."""
        self.file.seek(0)
        self.file.write(struct.pack("<4sI", b"RIFF", self.end - 8) + self.before)
        self.file.write(struct.pack("<4sI", b"data", self.bytes))
        self.file.flush()

    def close(self) -> None:
        """Take away what an interrupt left half written."""
        self.state()
        self.file.truncate(self.end)


def riff(name: bytes, data: bytes) -> bytes:
    """A chunk of a RIFF file, padded to an even length."""
    return struct.pack("<4sI", name, len(data)) + data + b"\0" * (len(data) % 2)


class FlacEncoder:
    """FLAC with 16 bits a sample."""

    def __init__(self, file: BufferedWriter, rate: int, tags: Tags) -> None:
        self.file = encoded(file, rate, tags, "FLAC", "PCM_16")

    def write(self, samples: np.ndarray) -> None:
        """Add samples."""
        self.file.write(whole_numbers(samples))

    def close(self) -> None:
        """Write what waits, and the length."""
        self.file.close()


class OggEncoder:
    """Ogg Vorbis, which is lossy."""

    def __init__(self, file: BufferedWriter, rate: int, tags: Tags) -> None:
        if rate not in OGG_RATES:  # libsndfile crashes where the encoder has no mode
            raise UsageError(
                f"Ogg Vorbis holds {OGG_RATES[0]:,} to {OGG_RATES[-1]:,} samples a second, not {rate:,}: "
                f"write FLAC or WAV"
            )
        self.file = encoded(file, rate, tags, "OGG", "VORBIS")

    def write(self, samples: np.ndarray) -> None:
        """Add samples."""
        self.file.write(samples.astype(np.float32).clip(-1, 1))

    def close(self) -> None:
        """Write the last page."""
        self.file.close()


ENCODERS: dict[str, Callable[[BufferedWriter, int, Tags], Encoder]] = {
    ".wav": WavEncoder,
    ".flac": FlacEncoder,
    ".ogg": OggEncoder,
}


def encoded(file: BufferedWriter, rate: int, tags: Tags, container: str, subtype: str) -> Any:
    """An open file as soundfile writes it."""
    soundfile = package("soundfile")
    try:
        opened = soundfile.SoundFile(file.fileno(), "w", rate, 1, subtype, format=container, closefd=False)
    except soundfile.SoundFileError as error:
        raise UsageError(f"{container} cannot hold sound of {rate:,} samples a second ({error}): write WAV") from error
    for name, text in tags.texts().items():
        setattr(opened, {"track": "tracknumber"}.get(name, name), text)
    return opened


def whole_numbers(samples: np.ndarray) -> np.ndarray:
    """Samples in 16 bits, downwards, as linear levels are: so the levels of a codec of up to 65,536 come back."""
    return np.floor(samples.astype(np.float64) * 32768).clip(-32768, 32767).astype(np.int16)


def new_file(path: Path, replace: bool) -> BufferedWriter:
    """An empty file at `path`."""
    try:
        return open(path, "wb" if replace else "xb")
    except FileExistsError:
        raise UsageError(f"{path}: exists already: name another file, or let it be replaced") from None
    except OSError as problem:
        raise UsageError(f"{path}: cannot be written ({problem.strerror}): pass another path") from problem

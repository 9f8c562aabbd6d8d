"""Whether a sound file is as long as it says: decoders read one that was cut off to its end without a word."""

import struct
from pathlib import Path
from typing import Any, NamedTuple

OGG_PAGE = 65_307  # bytes of the longest
UNKNOWN_SIZE = (
    0x7FFFF000  # programs that cannot go back in what they write put such sizes, or 0, into headers of 32 bits
)
MOST_CHUNKS = 1000
AU_START = 12


class Layout(NamedTuple):
    """How a container lays out its chunks: where the first begins, the header of each, and what is counted in its size.

    Chunks begin at multiples of `align` bytes.
    """

    start: int
    header: str
    counted: int
    align: int


LAYOUTS = {
    b"RIFF": Layout(12, "<4sI", 0, 2),
    b"RIFX": Layout(12, ">4sI", 0, 2),
    b"FORM": Layout(12, ">4sI", 0, 2),
    b"caff": Layout(8, ">4sq", 0, 1),
    b"riff": Layout(40, "<4s12xq", 24, 8),  # Wave64
}


def shortfall(path: Path) -> str | None:
    """What a file lacks of what its own header promises, None if nothing."""
    length = path.stat().st_size
    with open(path, "rb") as file:
        start = file.read(AU_START)
        if start[:4] == b"OggS":
            file.seek(-min(length, OGG_PAGE), 2)
            return None if is_ogg_end(file.read()) else "its last page is missing"
        end = 0
        if start[:4] in LAYOUTS:
            end = samples_end(file, LAYOUTS[start[:4]], length)
        elif start[:4] == b".snd" and len(start) == AU_START:
            offset, size = struct.unpack(">II", start[4:])
            end = offset + size if size < UNKNOWN_SIZE else 0
    return f"{end - length:,} of {end:,} bytes are missing" if end > length else None


def samples_end(file: Any, layout: Layout, length: int) -> int:
    """Where the chunk with the samples should end, 0 where that is not stated or no such chunk is found."""
    place, width = layout.start, struct.calcsize(layout.header)
    for _ in range(MOST_CHUNKS):
        file.seek(place)
        header = file.read(width)
        if len(header) < width:
            return 0
        name, size = struct.unpack(layout.header, header)
        end = place + width + size - layout.counted
        if name in (b"data", b"SSND"):
            is_unknown = size <= 0 or (width == 8 and size >= UNKNOWN_SIZE)
            return 0 if is_unknown else end
        place, before = -(-end // layout.align) * layout.align, place
        if not before < place <= length:
            return 0
    return 0


def is_ogg_end(tail: bytes) -> bool:
    """Whether bytes hold the page that ends an Ogg stream, and hold it whole. Source: RFC 3533, section 6."""
    start = tail.rfind(b"OggS")
    page = tail[start:] if start >= 0 else b""
    if len(page) < 27 or not page[5] & 4:
        return False
    sizes = page[27 : 27 + page[26]]
    return len(sizes) == page[26] and len(page) >= 27 + len(sizes) + sum(sizes)

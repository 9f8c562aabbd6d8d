"""Pixels [height, width, 3] in uint8: small letters, PNG files, and half blocks for terminals."""

import struct
import zlib

import numpy as np

from unrolled.core.errors import UsageError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
LETTER_HEIGHT, LETTER_WIDTH = 7, 6  # with a column of space

LETTERS = {
    "0": (".###.", "#...#", "#..##", "#.#.#", "##..#", "#...#", ".###."),
    "1": ("..#..", ".##..", "..#..", "..#..", "..#..", "..#..", ".###."),
    "2": (".###.", "#...#", "....#", "...#.", "..#..", ".#...", "#####"),
    "3": (".###.", "#...#", "....#", "..##.", "....#", "#...#", ".###."),
    "4": ("...#.", "..##.", ".#.#.", "#..#.", "#####", "...#.", "...#."),
    "5": ("#####", "#....", "####.", "....#", "....#", "#...#", ".###."),
    "6": ("..##.", ".#...", "#....", "####.", "#...#", "#...#", ".###."),
    "7": ("#####", "....#", "...#.", "..#..", "..#..", ".#...", ".#..."),
    "8": (".###.", "#...#", "#...#", ".###.", "#...#", "#...#", ".###."),
    "9": (".###.", "#...#", "#...#", ".####", "....#", "...#.", ".##.."),
    ".": (".....", ".....", ".....", ".....", ".....", ".##..", ".##.."),
    ":": (".....", ".##..", ".##..", ".....", ".##..", ".##..", "....."),
    "k": ("#....", "#....", "#..#.", "#.#..", "##...", "#.#..", "#..#."),
    "H": ("#...#", "#...#", "#...#", "#####", "#...#", "#...#", "#...#"),
    "z": (".....", ".....", "#####", "...#.", "..#..", ".#...", "#####"),
    "s": (".....", ".....", ".####", "#....", ".###.", "....#", "####."),
    " ": (".....",) * 7,
}


def blank(height: int, width: int, colour: np.ndarray) -> np.ndarray:
    """A picture of one colour."""
    return np.broadcast_to(colour, (height, width, 3)).astype(np.uint8)


def write(pixels: np.ndarray, text: str, top: int, left: int, colour: np.ndarray) -> None:
    """Set letters into a picture in place; what does not fit is cut off.

    Raises: UsageError for a sign without a letter.
    """
    for number, sign in enumerate(text):
        if sign not in LETTERS:
            raise UsageError(f"{sign!r} cannot be written into a picture: the signs are {''.join(LETTERS)}")
        for row, line in enumerate(LETTERS[sign]):
            for column, dot in enumerate(line):
                y, x = top + row, left + number * LETTER_WIDTH + column
                if dot == "#" and 0 <= y < pixels.shape[0] and 0 <= x < pixels.shape[1]:
                    pixels[y, x] = colour


def png(pixels: np.ndarray) -> bytes:
    """A picture as a PNG file. Source: W3C, "Portable Network Graphics", third edition, sections 5, 9 and 11.2."""
    height, width, _ = pixels.shape
    lines = pixels.reshape(height, -1)
    above = np.concatenate((np.zeros_like(lines[:1]), lines[:-1]))
    filtered = np.insert(lines - above, 0, 2, axis=1)  # filter 2, differences to the line above, packs best
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)  # 8 bits, colours, not interlaced
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(filtered.tobytes(), 9)), (b"IEND", b""))
    return SIGNATURE + b"".join(chunk(name, data) for name, data in parts)


def chunk(name: bytes, data: bytes) -> bytes:
    """A piece of a PNG file with its length and checksum."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def terminal(pixels: np.ndarray) -> str:
    """A picture in 24-bit colours for a terminal, a column a pixel and a line two; an odd last row is left out."""
    lines = []
    for upper, lower in zip(pixels[0::2].tolist(), pixels[1::2].tolist(), strict=False):
        parts, before = [], None
        for above, below in zip(upper, lower, strict=True):
            if (above, below) != before:
                parts.append("\x1b[38;2;{};{};{};48;2;{};{};{}m".format(*above, *below))
                before = (above, below)
            parts.append("\u2580")
        lines.append("".join(parts) + "\x1b[0m\n")
    return "".join(lines)

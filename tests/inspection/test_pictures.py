"""Pictures: what is drawn where, PNG files that decode to their pixels, letters, colours and terminals."""

import io
import re
import struct
import zlib

import numpy as np
import pytest

from tests.inspection.sounds import RATE, music, sweep
from unrolled.core.errors import DataError, UsageError
from unrolled.inspection.canvas import LETTERS, blank, png, terminal, write
from unrolled.inspection.colours import colour_map, from_lab, to_lab
from unrolled.inspection.pictures import (
    MARGIN_BELOW,
    MARGIN_LEFT,
    clock,
    cover,
    intensity,
    picture,
    row_frequencies,
    spectrogram,
    tick_step,
    waveform,
)

SILENCE = np.zeros(RATE, np.float32)


def decoded(file: bytes) -> np.ndarray:
    """The pixels of a PNG file with colours of 8 bits and lines of filters 0 and 2."""
    assert file[:8] == b"\x89PNG\r\n\x1a\n"
    place, found = 8, []
    while place < len(file):
        (length,) = struct.unpack(">I", file[place : place + 4])
        body = file[place + 4 : place + 8 + length]
        assert struct.unpack(">I", file[place + 8 + length : place + 12 + length]) == (zlib.crc32(body),)
        found.append((body[:4], body[4:]))
        place += 12 + length
    assert [name for name, _ in found] == [b"IHDR", b"IDAT", b"IEND"]
    width, height, *kind = struct.unpack(">IIBBBBB", found[0][1])
    assert kind == [8, 2, 0, 0, 0]
    lines = np.frombuffer(zlib.decompress(found[1][1]), np.uint8).reshape(height, 1 + 3 * width)
    above, result = np.zeros(3 * width, np.uint8), []
    for line in lines:
        assert line[0] in (0, 2)
        above = line[1:] + above * (line[0] == 2)
        result.append(above)
    return np.array(result, np.uint8).reshape(height, width, 3)


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (40, 60)])
def test_png_files_decode_to_their_pixels(shape) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3)).astype(np.uint8)
    assert np.array_equal(decoded(png(pixels)), pixels)
    image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    with image.open(io.BytesIO(png(pixels))) as opened:
        assert opened.mode == "RGB" and np.array_equal(np.asarray(opened), pixels)


def test_colours_rise_evenly_in_lightness_whatever_their_hue() -> None:
    for turn in (0.0, 0.3, 0.7):
        lightness = to_lab(colour_map(turn))[:, 0]
        assert (np.diff(lightness) > 0).mean() > 0.97 and lightness[0] < 0.2
        assert np.abs(lightness - np.linspace(lightness[0], lightness[-1], 256)).max() < (0.02 if turn == 0 else 0.08)
    assert not np.array_equal(colour_map(0.3), colour_map()) and np.array_equal(colour_map(1.0), colour_map())


def test_oklab_turns_back() -> None:
    colours = np.random.default_rng(0).integers(0, 256, (50, 3)).astype(np.uint8)
    assert np.array_equal(from_lab(to_lab(colours)), colours)
    assert to_lab(np.array([255, 255, 255])) == pytest.approx([1, 0, 0], abs=1e-3)


def test_a_rising_sweep_is_a_rising_ridge() -> None:
    bright = intensity(sweep(3, 200, 3800), RATE, 120, 80)
    assert bright.shape == (80, 120) and bright.dtype == np.float32 and bright.max() == 1
    ridge = bright.argmax(axis=0)[4:-4]
    assert (np.diff(ridge) <= 0).all() and ridge[0] > 60 and ridge[-1] < 6
    heard = row_frequencies(RATE, 80)[79 - ridge]
    told = np.interp(np.arange(4, 116) + 0.5, [0, 120], [200, 3800])
    assert (np.abs(heard - told) < 150).all()
    assert np.median(bright[:, 4:-4]) < 0.5


def test_brightness_is_relative_but_silence_stays_dark() -> None:
    sound = sweep(1, 200, 3800)
    assert np.allclose(intensity(sound, RATE, 40, 30), intensity(sound / 10, RATE, 40, 30), atol=1e-3)
    assert intensity(SILENCE, RATE, 40, 30).max() == 0
    assert (spectrogram(SILENCE, RATE, 40, 30) == colour_map()[0]).all()


@pytest.mark.parametrize("count", [1, 30, 700])
def test_what_is_shorter_than_the_picture_is_drawn_too(count) -> None:
    sound = music(1, 1)[4000 : 4000 + count]
    assert np.isfinite(intensity(sound, RATE, 500, 20)).all() and intensity(sound, RATE, 500, 20).max() == 1
    assert picture(sound, RATE, 200, 100).shape == (100, 200, 3)


def test_a_click_is_where_it_sounds_in_a_long_sound() -> None:
    sound = np.zeros(30 * RATE, np.float32)
    sound[20 * RATE] = 1
    bright = intensity(sound, RATE, 60, 20)
    assert bright.sum(axis=0).argmax() in (39, 40) and (bright.sum(axis=0) > 0).sum() <= 3


def test_waveforms_show_extremes_and_loudness() -> None:
    sound = np.concatenate((np.zeros(500), np.resize([0.5, -0.5], 500), np.zeros(500))).astype(np.float32)
    pixels = waveform(sound, 30, 41)
    lit = (pixels != colour_map()[0]).any(axis=2)
    assert lit[:, 2].sum() == 1 and lit[20, 2] and lit[:, 15].sum() == 21 and lit[10, 15] and not lit[9, 15]
    assert (pixels[20, 15] == colour_map()[205]).all()
    assert (waveform(10 * sound, 30, 41)[:, 15] != colour_map()[0]).any(axis=1).all()


def test_pictures_have_axes() -> None:
    pixels = picture(sweep(2, 200, 3800), RATE, 400, 160)
    ink, dark = colour_map()[200], colour_map()[0]
    assert (pixels[-MARGIN_BELOW:] == ink).all(axis=2).sum() > 30
    assert (pixels[40:-MARGIN_BELOW, :MARGIN_LEFT] == ink).all(axis=2).sum() > 30
    assert (pixels[:20, : MARGIN_LEFT - 1] == dark).all()
    assert np.array_equal(decoded(png(pixels)), pixels)


def test_ticks_are_round_numbers() -> None:
    steps = {0.0011: 0.002, 0.2: 0.2, 0.3: 0.5, 7.0: 10, 11.0: 15, 31.0: 60, 61.0: 120}
    assert {least: tick_step(least) for least in steps} == steps
    times = {(0.6, 0.2): "0.6", (3.0, 1.0): "3", (0.25, 0.05): "0.25", (90.0, 30.0): "1:30"}
    assert {pair: clock(*pair) for pair in times} == times


def test_letters_are_all_of_one_size_and_differ() -> None:
    assert all(len(rows) == 7 and all(len(row) == 5 for row in rows) for rows in LETTERS.values())
    assert len(set(LETTERS.values())) == len(LETTERS)
    pixels = blank(9, 20, colour_map()[0])
    write(pixels, "17", 1, 1, colour_map()[-1])
    assert (pixels[1:8, 7:12] == colour_map()[-1]).all(axis=2).any(axis=1).all()
    write(pixels, "8888", 5, 15, colour_map()[-1])  # cut off at the edges
    with pytest.raises(UsageError, match="'q' cannot be written"):
        write(pixels, "q", 0, 0, colour_map()[0])


def test_terminals_get_two_pixels_a_sign() -> None:
    pixels = np.arange(4 * 2 * 3, dtype=np.uint8).reshape(4, 2, 3)
    lines = terminal(pixels).splitlines()
    assert len(lines) == 2 and all(line.endswith("\x1b[0m") and line.count("\u2580") == 2 for line in lines)
    assert lines[0].startswith("\x1b[38;2;0;1;2;48;2;6;7;8m\u2580\x1b[38;2;3;4;5;48;2;9;10;11m\u2580")
    even = terminal(np.full((3, 50, 3), 7, np.uint8))
    assert len(re.findall("\x1b\\[38", even)) == 1 and even.count("\u2580") == 50


def test_covers_are_records_of_their_tracks() -> None:
    high, low = sweep(1, 3000, 3800), sweep(1, 100, 200)
    pixels = cover([high, low], RATE, 120)
    dark = colour_map()[0]
    assert pixels.shape == (120, 120, 3) and pixels.dtype == np.uint8
    assert all((pixels[y, x] == dark).all() for y, x in ((0, 0), (0, 119), (119, 0), (60, 60)))
    light = to_lab(pixels)[..., 0]
    y, x = np.mgrid[0:120, 0:120] - 59.5
    radius = np.hypot(x, y) / 60
    rings = [light[(radius > inner) & (radius < inner + 0.09)].mean() for inner in (0.86, 0.58, 0.46, 0.19)]
    assert rings[0] > rings[1] + 0.1 and rings[3] > rings[2] + 0.1  # high notes outside, low ones inside their ring
    assert np.array_equal(cover([high, low], RATE, 120), pixels)


def test_what_cannot_be_drawn_is_refused() -> None:
    for draw in (lambda: intensity(SILENCE[:0], RATE, 9, 9), lambda: waveform(SILENCE[:0])):
        with pytest.raises(DataError, match="no samples to draw"):
            draw()
    with pytest.raises(UsageError, match="80 x 50 pixels are too small"):
        picture(SILENCE, RATE, 80, 50)
    for tracks, size in (([], 100), ([SILENCE], 8)):
        with pytest.raises(UsageError, match="a cover of"):
            cover(tracks, RATE, size)

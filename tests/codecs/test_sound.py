"""The laws of the sound codec, for both compandings and many numbers of levels."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unrolled.codecs import Codec, codec_from_json
from unrolled.codecs.sound import Companding, SoundCodec
from unrolled.core.errors import DataError, RunError, UsageError

COMPANDINGS: tuple[Companding, ...] = ("linear", "mu-law")
LEVELS = (64, 65, 90, 255, 256, 257, 1000, 4096, 65_535, 65_536)

codecs = pytest.mark.parametrize(
    "codec",
    [SoundCodec(16_000, levels, companding) for levels in LEVELS for companding in COMPANDINGS],
    ids=lambda codec: f"{codec.companding}-{codec.levels}",
)
samples = st.lists(st.floats(-1.5, 1.5, width=32), max_size=40).map(lambda values: np.array(values, np.float32))


@codecs
@given(x=samples)
def test_decoding_gives_the_normalised_sound(codec: SoundCodec, x: np.ndarray) -> None:
    levels = codec.encode(x)
    assert levels.dtype == np.int32 and levels.shape == x.shape
    assert ((levels >= 0) & (levels < codec.levels)).all()
    normal = codec.normalise(x)
    assert normal.dtype == np.float32
    assert np.array_equal(codec.decode(levels), normal)
    assert np.array_equal(codec.normalise(normal), normal)
    steps = np.diff(codec.centres).max(initial=0)
    assert (np.abs(normal - x.clip(-1, 1)) <= steps * 0.6).all()


@codecs
def test_every_level_comes_back(codec: SoundCodec) -> None:
    levels = np.arange(codec.levels)
    values = codec.decode(levels)
    assert np.array_equal(codec.encode(values), levels)
    assert (np.diff(values) > 0).all() and values[0] >= -1 and values[-1] <= 1
    assert np.array_equal(values, codec.centres) and not codec.values[codec.levels :].any()
    assert np.ptp(np.diff(codec.values[: codec.levels])) < 1e-6 and codec.values[0] >= -1 and codec.values.max() <= 1
    assert (codec.begin, codec.end, codec.size) == (codec.levels, codec.levels + 1, codec.levels + 2)


@codecs
def test_silence_is_the_level_in_the_middle(codec: SoundCodec) -> None:
    middle = codec.levels // 2
    for zero in (0.0, -0.0):
        assert codec.encode(np.array([zero])).tolist() == [middle]
    assert abs(codec.decode([middle])[0]) <= np.diff(codec.centres)[middle - 1]


@codecs
def test_what_is_beyond_full_scale_is_clipped(codec: SoundCodec) -> None:
    assert codec.encode(np.array([-7.0, -1.0, 1.0, 7.0])).tolist() == [0, 0, codec.levels - 1, codec.levels - 1]


@given(x=st.lists(st.floats(-1, 1), min_size=1, max_size=40))
def test_levels_are_those_of_the_formulas(x: list[float]) -> None:
    wide = np.array(x)
    wide[np.abs(wide) < 1e-9] = 0  # where the formula as it is written loses its digits
    linear = SoundCodec(16_000, 256, "linear").encode(wide)
    assert np.array_equal(linear, np.minimum(np.floor((wide + 1) * 128), 255))
    y = np.sign(wide) * np.log(1 + 255 * np.abs(wide)) / np.log(256)
    assert np.array_equal(SoundCodec(16_000, 256, "mu-law").encode(wide), np.round((y + 1) / 2 * 255))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_refused(value: float) -> None:
    with pytest.raises(DataError, match=r"sample 3 is (nan|-?inf), not a finite number"):
        SoundCodec(16_000).encode(np.array([0.0, 0.5, value]))


def test_shapes_are_kept_and_nothing_stays_nothing() -> None:
    codec = SoundCodec(16_000)
    assert codec.normalise(np.zeros((2, 3))).shape == (2, 3)
    assert codec.decode([]).shape == (0,) and codec.encode(np.empty(0)).shape == (0,)


@pytest.mark.parametrize("symbol", [-1, 256])
def test_a_number_that_is_no_level_is_refused(symbol: int) -> None:
    with pytest.raises(DataError, match=f"symbol {symbol} is no level .* 0 to 255"):
        SoundCodec(16_000).decode([0, symbol])


@pytest.mark.parametrize(("rate", "levels"), [(999, 256), (384_001, 256), (16_000, 63), (16_000, 65_537), (0, 0)])
def test_sizes_out_of_range_are_refused(rate: int, levels: int) -> None:
    with pytest.raises(UsageError, match="pass"):
        SoundCodec(rate, levels)


@codecs
def test_json_brings_the_same_codec_back(codec: SoundCodec) -> None:
    again = codec_from_json(json.loads(json.dumps(codec.to_json())))
    assert isinstance(again, Codec) and again == codec
    assert (again.kind, again.size, again.begin, again.end) == ("sound", codec.levels + 2, codec.begin, codec.end)


GOOD = SoundCodec(16_000).to_json()
HOSTILE = [
    {"rate": True},
    {"rate": 16_000.0},
    {"rate": "16000"},
    {"rate": -1},
    {"rate": 10**30},
    {"levels": None},
    {"levels": 2},
    {"levels": [256]},
    {"companding": "a-law"},
    {"companding": ["linear"]},
    {"companding": {"linear": "\n" * 1000}},
]


@pytest.mark.parametrize("change", HOSTILE, ids=range(len(HOSTILE)))
def test_a_strange_codec_file_is_refused(change: dict) -> None:
    with pytest.raises(RunError, match="describes no sound codec") as caught:
        codec_from_json(GOOD | change)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 250


@pytest.mark.parametrize("key", ["rate", "levels", "companding"])
def test_a_codec_file_that_lacks_something_is_refused(key: str) -> None:
    with pytest.raises(RunError):
        codec_from_json({name: value for name, value in GOOD.items() if name != key})


@given(
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=6,
    )
)
def test_no_value_under_any_key_escapes_the_check(value: object) -> None:
    for key in GOOD:
        try:
            codec_from_json(GOOD | {key: value})
        except RunError as error:
            assert "\n" not in str(error)

"""What is said before a training begins."""

import dataclasses

import numpy as np

from unrolled.api.expectations import LISTENED, beginning, needs, sound_to_beat
from unrolled.codecs.sound import SoundCodec
from unrolled.data.encoded import Encoded, Part


def part_of(*tracks: np.ndarray, name: str = "train") -> Part:
    starts = np.cumsum([0, *(len(track) for track in tracks)])
    fields = np.zeros((len(tracks), 0), np.int64)
    return Part(np.concatenate(tracks), starts, fields, True, name)


def test_time_is_told_in_what_people_read() -> None:
    assert needs(100, 0.1).startswith("about 10 s")
    assert needs(3000, 0.2).startswith("about 10 min")


def test_the_beginning_of_a_part_keeps_whole_tracks_and_cuts_the_last() -> None:
    tracks = [np.arange(LISTENED - 10) % 256, np.arange(500) % 256, np.arange(500) % 256]
    found = beginning(part_of(*tracks))
    assert found.starts.tolist() == [0, LISTENED - 10, LISTENED]
    assert len(found.symbols) == LISTENED and len(found.fields) == 2
    whole = part_of(*tracks[1:])
    assert beginning(whole).starts.tolist() == whole.starts.tolist()


def test_a_tone_is_easy_to_predict_and_short_sound_is_not_judged() -> None:
    codec = SoundCodec(8000, 256, "linear")
    tone = codec.encode(np.sin(np.arange(8000) / 20).astype(np.float32) * 0.5)
    track = np.concatenate([[codec.begin], tone])
    encoded = Encoded(part_of(track), part_of(track, name="validation"), {})
    text = sound_to_beat(encoded, codec)
    linear, frequencies = float(text.split(" with ")[1].split()[0]), float(text.split(" with ")[2].split(";")[0])
    assert "validation part" in text and linear < frequencies - 1
    short = part_of(track[:10])
    assert sound_to_beat(dataclasses.replace(encoded, train=short, validation=short), codec) == ""

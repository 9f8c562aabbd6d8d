"""Recordings: which tracks train and which validate."""

import numpy as np
import pytest

from tests.data.sounds import heard, melody, names, write
from unrolled.core.errors import UsageError
from unrolled.data.recordings import PARTS, SoundSplit, open_recordings


@pytest.mark.parametrize("count", [2, 3, 5])
def test_few_tracks_still_leave_one_on_each_side(tmp_path, count) -> None:
    for start in range(4):
        folder = tmp_path / str(start)
        for number in range(count):
            write(folder / f"{number}.wav", melody(100 * start + number, 0.05))
        recordings = open_recordings([folder])
        parts = [names(recordings.documents(part)) for part in PARTS]
        assert all(parts) and sorted(parts[0] + parts[1]) == names(recordings.tracks)
        assert recordings.facts()["split"] == {"rule": "by track", "train": 0.9}
        every = [heard(recordings, part) for part in (*PARTS, None)]
        for train, validation, whole in zip(*every, strict=True):
            assert len(train) in (0, len(whole)) and len(train) + len(validation) == len(whole)


def test_the_side_of_a_track_depends_on_its_content_alone(tmp_path) -> None:
    for number in range(12):
        write(tmp_path / f"{number:02}.wav", melody(number, 0.05))
    sides = {track.sha256: track.cut for track in open_recordings([tmp_path], split=SoundSplit(0.5)).tracks}
    for number in range(12):
        (tmp_path / f"{number:02}.wav").rename(tmp_path / f"{number * 5 % 12:02}_again.wav")
    again = open_recordings([tmp_path], split=SoundSplit(0.5))
    assert sides == {track.sha256: track.cut for track in again.tracks}
    fewer = [track.sha256 for track in open_recordings([tmp_path], split=SoundSplit(0.8)).tracks if not track.cut]
    assert set(fewer) <= {digest for digest, part in sides.items() if not part}


def test_copies_are_on_one_side(tmp_path) -> None:
    for name in ("a", "b", "c/a"):
        write(tmp_path / f"{name}.wav", melody(7 if name == "b" else 1, 0.05))
    a, b, again = open_recordings([tmp_path]).tracks
    assert (a.cut > 0) == (again.cut > 0) != (b.cut > 0)


def test_tracks_that_validate_can_be_named(tmp_path) -> None:
    for number, name in enumerate(["one", "two", "anna/take[1]", "anna/four"]):
        write(tmp_path / f"{name}.wav", melody(number, 0.05))

    def validation(*patterns: str) -> list[str]:
        recordings = open_recordings([tmp_path], split=SoundSplit(validation=patterns))
        assert recordings.facts()["split"]["rule"] == "by name"
        return sorted(names(recordings.documents("validation")))

    assert validation("two") == validation("two.wav") == validation("tw?") == ["two.wav"]
    assert validation("anna/*") == ["four.wav", "take[1].wav"] == validation("take[1]", "four")
    with pytest.raises(UsageError, match="no track is called 'five': the tracks are one, two, four, take"):
        validation("five")
    with pytest.raises(UsageError, match="all 4 tracks validate"):
        validation("*")
    with pytest.raises(UsageError, match="pass one of both"):
        SoundSplit(validation=("x",), within=True)
    with pytest.raises(UsageError, match=r"split 1\.5"):
        SoundSplit(1.5)


def test_within_tracks_the_end_of_each_validates(tmp_path) -> None:
    for number in range(3):
        write(tmp_path / f"{number}.wav", melody(number, 0.1 * (number + 1)))
    recordings = open_recordings([tmp_path], split=SoundSplit(0.8, within=True))
    whole, train, validation = (heard(recordings, part) for part in (None, "train", "validation"))
    for number, samples in enumerate(whole):
        assert len(train[number]) == 1280 * (number + 1)
        assert np.array_equal(np.concatenate((train[number], validation[number])), samples)
    facts = recordings.facts()
    assert facts["split"] == {"rule": "within tracks", "train": 0.8} and facts["notes"] == []
    assert (facts["train_tracks"], facts["validation_tracks"]) == (3, 3)


def test_a_single_track_is_cut_by_itself_and_that_is_stated(tmp_path) -> None:
    recordings = open_recordings([write(tmp_path / "a.wav", melody(1))])
    assert (len(heard(recordings, "train")[0]), len(heard(recordings, "validation")[0])) == (4320, 480)
    assert recordings.facts()["notes"] == ["there is one track: its first 90% trains, its end validates"]
    whole = open_recordings([tmp_path / "a.wav"], split=SoundSplit(1.0))
    assert len(heard(whole, "train")[0]) == 4800 and whole.facts()["notes"] == []

"""Recordings: fields, facts, fingerprints and symbols."""

import json
import tracemalloc
from itertools import pairwise

import numpy as np
import pytest

from tests.data.sounds import RATE, heard, melody, soundfile, write
from unrolled.codecs.sound import SoundCodec
from unrolled.core.errors import DataError, UsageError
from unrolled.data import encoded_sound
from unrolled.data.encoded_sound import encode_recordings
from unrolled.data.fields import make_fields
from unrolled.data.recordings import SoundPolicy, SoundSplit, open_recordings

TABLES = {
    "header": "id,mood,tempo\n0_george,glad,90\n1_anna,sad,120\n",
    "file names": "tempo,file_name,mood\n120,1_anna.wav,sad\n90,voices/0_george.wav,glad\n",
    "semicolons": "ID;mood;tempo\n1_anna;sad;120\n\n0_george;glad;90\n",
    "tabs": "track\tmood\ttempo\n1_anna\tsad\t120\n0_george\tglad\t90\n",
    "bars": 'id|mood|tempo\n1_anna|sad|120\n0_george|glad|90\nelse|"a|7\n',
}


@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.parametrize("place", ["beside", "above"])
def test_fields_are_the_folder_the_name_and_the_columns_of_a_table(tmp_path, kind, place) -> None:
    for number, name in enumerate(["0_george", "1_anna", "2_unknown"]):
        write(tmp_path / "voices" / f"{name}.wav", melody(number, 0.05))
    (tmp_path / ("voices" if place == "beside" else "") / "metadata.csv").write_text(TABLES[kind])
    recordings = open_recordings([tmp_path], split=SoundSplit(1.0), fields=("mood", "tempo", "folder"))
    assert recordings.columns[:2] == ["folder", "track"] and set(recordings.columns[2:]) == {"mood", "tempo"}
    assert recordings.tracks[1].fields == {"folder": "voices", "track": "1_anna", "mood": "sad", "tempo": "120"}
    assert recordings.tracks[2].fields == {"folder": "voices", "track": "2_unknown"}
    table = make_fields(recordings)
    assert table.sizes == (3, 3, 2)
    assert [table.ids(track.fields) for track in recordings.tracks] == [[1, 1, 1], [2, 2, 1], [0, 0, 1]]


def test_a_table_without_a_header(tmp_path) -> None:
    write(tmp_path / "a.wav", melody(1, 0.05))
    (tmp_path / "metadata.csv").write_text('a|He said "no|1.5\nb|Then, yes.|2\n')
    fields = open_recordings([tmp_path]).tracks[0].fields
    assert fields == {"folder": tmp_path.name, "track": "a", "column2": 'He said "no', "column3": "1.5"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("id,mood\na,glad,7\n", "line 2 has 3 cells, the first 2"),
        ("id,mood\na,glad\na.wav,sad\n", "line 3 names 'a' a second time"),
        ("id,mood,mood\na,1,2\n", "line 1 is no header"),
        ('id,mood\n"a,glad\n', "line 2 is not a csv row"),
        (b"id,mood\na,caf\xe9\n", "invalid UTF-8 at byte offset 13"),
    ],
)
def test_a_broken_table_is_refused_with_its_line(tmp_path, content, words) -> None:
    write(tmp_path / "a.wav", melody(1, 0.05))
    (tmp_path / "metadata.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=f"metadata.csv: {words}"):
        open_recordings([tmp_path])


def test_an_unknown_field_is_refused(tmp_path) -> None:
    write(tmp_path / "a.wav", melody(1, 0.05))
    with pytest.raises(UsageError, match=r"field 'mood' is in no track: the fields are folder, track$"):
        open_recordings([tmp_path], fields=("mood",))
    with pytest.raises(UsageError, match="for several, repeat --fields"):
        open_recordings([tmp_path], fields=("folder,track",))


def test_the_fingerprint_follows_all_that_decides_symbols_but_not_the_path(tmp_path) -> None:
    for number in range(3):
        write(tmp_path / "first" / f"{number}.wav", melody(number, 0.1) * (0.5 + 0.1 * number))
    (tmp_path / "second").mkdir()
    for file in (tmp_path / "first").iterdir():
        (tmp_path / "second" / f"again_{file.name}").write_bytes(file.read_bytes())

    def fingerprint(folder: str = "first", fields=(), policy=None, split=None) -> str:
        return open_recordings(
            [tmp_path / folder], policy or SoundPolicy(), split or SoundSplit(), fields
        ).fingerprint()

    first = fingerprint()
    assert fingerprint("second") == first
    others = [
        fingerprint(policy=SoundPolicy(rate=8_000)),
        fingerprint(policy=SoundPolicy(level="peak")),
        fingerprint(policy=SoundPolicy(remove_dc=True)),
        fingerprint(split=SoundSplit(within=True)),
        fingerprint(split=SoundSplit(1.0)),
        fingerprint(fields=("track",)),
        fingerprint("second", fields=("track",)),
    ]
    write(tmp_path / "first" / "0.wav", melody(9, 0.1))
    assert len({first, *others, fingerprint()}) == 9


def test_facts_are_json_and_add_up(tmp_path) -> None:
    for number in range(3):
        write(tmp_path / f"{number}.wav", melody(number, 0.1))
    facts = open_recordings([tmp_path]).facts()
    assert json.loads(json.dumps(facts)) == facts
    assert facts["samples"] == facts["train_samples"] + facts["validation_samples"] == 4800
    assert facts["train_tracks"] + facts["validation_tracks"] == facts["tracks"] == 3
    assert facts["seconds"] == 0.3 and facts["bytes"] == sum(source["bytes"] for source in facts["sources"])
    assert facts["kind"] == "sound" and facts["rate"] == RATE and not facts["skipped_files"]


@pytest.mark.parametrize("codec", [SoundCodec(RATE, 256, "mu-law"), SoundCodec(RATE, 257), SoundCodec(RATE, 65_536)])
@pytest.mark.parametrize("split", [SoundSplit(), SoundSplit(0.7, within=True)])
def test_symbols_are_the_levels_of_each_track_after_the_begin_symbol(tmp_path, codec, split) -> None:
    for number in range(4):
        write(tmp_path / f"{number}.wav", melody(number, 0.1))
    recordings = open_recordings([tmp_path], SoundPolicy(level="peak"), split, ("track",))
    table = make_fields(recordings)
    result = encode_recordings(recordings, codec, table, tmp_path)
    for part, name in ((result.train, "train"), (result.validation, "validation")):
        every = zip(recordings.tracks, heard(recordings, name), strict=True)
        tracks = [(track, samples) for track, samples in every if len(samples)]
        assert part.name == name and part.is_records and len(part.fields) == len(tracks) == len(part.starts) - 1
        assert part.symbols.dtype == np.min_scalar_type(codec.begin)
        for (track, samples), (begin, end), ids in zip(tracks, pairwise(part.starts), part.fields, strict=True):
            assert part.symbols[begin:end].tolist() == [codec.begin, *codec.encode(samples)]
            assert ids.tolist() == table.ids(track.fields)
    assert result.unknown == {"train": {}, "validation": {}}


def test_levels_are_encoded_once_and_kept(tmp_path, monkeypatch) -> None:
    for number in range(2):
        write(tmp_path / f"{number}.wav", melody(number, 0.1))
    recordings, codec = open_recordings([tmp_path]), SoundCodec(RATE)
    first = encode_recordings(recordings, codec, cache=tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(encoded_sound, "write_tracks", None)
        again = encode_recordings(recordings, codec, cache=tmp_path)
        assert np.array_equal(first.train.symbols, again.train.symbols)
        assert isinstance(again.train.symbols, np.memmap)
    encode_recordings(recordings, SoundCodec(RATE, 256, "mu-law"), cache=tmp_path)
    encode_recordings(open_recordings([tmp_path], SoundPolicy(level="peak")), codec, cache=tmp_path)
    assert len(list((tmp_path / "symbols").iterdir())) == 3


def test_a_file_of_five_hours_is_never_whole_in_memory(tmp_path) -> None:
    rate, hours = 1_000, 5
    path = tmp_path / "long.wav"
    with soundfile.SoundFile(path, "w", rate, 1, "PCM_U8") as file:
        for minute in range(hours * 60):
            file.write(melody(minute, 60, rate))
    tracemalloc.start()
    try:
        recordings = open_recordings([path], SoundPolicy(rate))
        encoded = encode_recordings(recordings, SoundCodec(rate), cache=tmp_path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(encoded.train.symbols) + len(encoded.validation.symbols) == hours * 3600 * rate + 2
    assert peak < 8e6 < len(encoded.train.symbols)  # numpy tells what it allocates


def test_recordings_that_change_while_they_are_read_are_refused(tmp_path) -> None:
    path = write(tmp_path / "a.wav", melody(1))
    recordings = open_recordings([path])
    write(path, melody(1, 0.2))
    with pytest.raises(DataError, match="changed while it was read"):
        encode_recordings(recordings, SoundCodec(RATE), cache=tmp_path)
    assert list((tmp_path / "symbols").iterdir()) == []


def test_a_codec_of_another_rate_is_refused(tmp_path) -> None:
    recordings = open_recordings([write(tmp_path / "a.wav", melody(1))])
    with pytest.raises(UsageError, match=r"the codec is for 8,000 samples a second .* 16,000"):
        encode_recordings(recordings, SoundCodec(8_000), cache=tmp_path)


def test_speech_with_its_table(shared_data) -> None:
    folder = shared_data / "audio/ljspeech24"
    if not folder.is_dir():
        pytest.skip(f"real data not found at {folder}")
    recordings = open_recordings([folder / "LJ001-0002.flac"], SoundPolicy(rate=22_050))
    (track,) = recordings.tracks
    assert track.fields["column2"] == "in being comparatively modern."
    assert track.samples / 22_050 == pytest.approx(float(track.fields["column3"]), abs=0.01)


def test_level_frequencies_give_the_published_bits(shared_data, tmp_path) -> None:
    """The first line of the table of trivial predictors that comes with the music."""
    folder = shared_data / "audio/music16k"
    if not folder.is_dir():
        pytest.skip(f"real data not found at {folder}")
    recordings = open_recordings([folder], split=SoundSplit(validation=("Deprecation",)))
    for codec, published in ((SoundCodec(RATE), 6.3813), (SoundCodec(RATE, 256, "mu-law"), 7.4146)):
        parts = encode_recordings(recordings, codec, cache=tmp_path)
        # the begin symbol of each track is given, not predicted
        counts = [np.bincount(part.symbols)[:256] for part in (parts.train, parts.validation)]
        shares = (counts[0] + 1) / (counts[0].sum() + 256)
        assert -(counts[1] * np.log2(shares)).sum() / counts[1].sum() == pytest.approx(published, abs=2e-3)

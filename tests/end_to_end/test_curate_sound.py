"""`unrolled curate`, `unrolled judge` and folded pieces of a run that makes sound."""

import io
import json
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import unrolled as package
from tests.data.sounds import RATE, melody, soundfile, write
from unrolled.api import sound_judging, sound_ranges
from unrolled.api.sound_curation import SoundCandidate, rank
from unrolled.api.sound_judging import Judge
from unrolled.cli import curate_loop, curate_sound
from unrolled.cli.main import main
from unrolled.codecs.sound import SoundCodec
from unrolled.data.encoded import Part
from unrolled.generation.curation import By
from unrolled.inspection.canvas import SIGNATURE
from unrolled.inspection.collapse import Verdict
from unrolled.inspection.memorisation import Match, Memorisation
from unrolled.store.records import Sample

WAVENET = ["--cycles", "1", "--layers", "4", "--width", "8", "--gate", "8", "--skip", "12"]
TRAINING = ["--steps", "4", "--rows", "2", "--length", "64", "--sample-every", "2", "--json"]


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tracks of some seconds."""
    folder = tmp_path_factory.mktemp("recordings")
    for number in range(4):
        write(folder / f"{number}.flac", melody(number, 2.5))
    return folder


@pytest.fixture(scope="module")
def training(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """A folder with a run called tiny, and what was told while it trained."""
    folder, told = tmp_path_factory.mktemp("runs"), io.StringIO()
    words = [str(recordings), "--system", "wavenet", "--runs", str(folder), "--name", "tiny", "--validation", "2"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", told)
        assert main(["train", *words, *TRAINING, *WAVENET]) == 0
    return folder, [json.loads(line) for line in told.getvalue().splitlines()]


@pytest.fixture
def runs(training) -> Path:
    return training[0]


@pytest.fixture
def curated(unrolled, runs, monkeypatch) -> Callable[..., Any]:
    """Curate the run with these lines on standard input."""

    def run(lines: list[str], *words: object) -> Any:
        monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(lines) + "\n"))
        return unrolled("curate", "tiny", "--runs", runs, "--seconds", "0.3", *words)

    return run


def stored(unrolled, runs: Path) -> dict[str, Any]:
    lines = unrolled("runs", "samples", "tiny", "--runs", runs, "--json").out.splitlines()
    return {sample["id"]: sample for sample in map(json.loads, lines)}


def ids(out: str) -> list[str]:
    return [line.split("sample ")[1].split()[0] for line in out.splitlines() if line.startswith("──")]


def test_a_training_judges_its_specimens_by_the_training_sound(training) -> None:
    folder, events = training
    ranges = json.loads((folder / "tiny" / "sound_ranges.json").read_text())
    assert ranges["rate"] == RATE and ranges["windows"] == 6  # two whole seconds of each of three tracks
    warnings = [event["text"] for event in events if event["event"] == "note" and "not right yet" in event["text"]]
    assert len(warnings) == 1 and warnings[0].startswith("step 2: ") and "where training sound has" in warnings[0]
    assert "What it made at update 2 was judged: soundness 0." in (folder / "tiny" / "card.md").read_text()


def test_sounds_are_shown_judged_kept_and_exported(unrolled, runs, curated, tmp_path) -> None:
    export = tmp_path / "kept.jsonl"
    outcome = curated(["4", "keep", "drop", "u", "k", "q"], "--samples", 3, "--export", export)
    assert outcome.code == 0 and "2 kept, 0 dropped, 1 undecided" in outcome.out, outcome
    assert "soundness" in outcome.out and "level" in outcome.out and "shorter than a second" in outcome.out
    first, second, *_ = ids(outcome.out)
    samples = stored(unrolled, runs)
    assert (samples[first]["kept"], samples[first]["rate"], samples[second]["kept"]) == (True, 4, True)
    assert {"soundness", "verdicts", "findings", "memorisation"} <= set(samples[first]["scores"])
    kept = [json.loads(line) for line in export.read_text().splitlines()]
    assert [one["sample"] for one in kept] == [first, second] and "findings" not in kept[0]
    for one in kept:
        assert soundfile.info(one["file"]).frames == RATE * 0.3
        assert Path(one["file"]).with_suffix(".png").read_bytes().startswith(SIGNATURE)


def test_the_nearest_training_sound_is_told_with_its_times(unrolled, runs, recordings, tmp_path) -> None:
    sound = np.concatenate([melody(77, 0.64), soundfile.read(recordings / "1.flac")[0][RATE // 2 :]])
    write(tmp_path / "copy.wav", sound.astype(np.float32))
    write(tmp_path / "silent.wav", np.zeros(2 * RATE, np.float32))
    judged = unrolled("judge", "tiny", tmp_path / "copy.wav", tmp_path / "silent.wav", "--runs", runs, "--json")
    assert judged.code == 0, judged.err
    copy, silent = map(json.loads, judged.out.splitlines())
    nearest = copy["memorisation"]["nearest"]
    assert nearest["track"] == f"{recordings.name}/1.flac" and nearest["similarity"] > 0.9
    assert abs(nearest["begin"] - nearest["place"] - 0.14) < 0.1
    assert silent["verdict"]["verdicts"][0] == "silence" and silent["memorisation"]["nearest"] is None
    shown = unrolled("judge", "tiny", tmp_path / "copy.wav", "--runs", runs)
    assert "soundness" in shown.out and f"of {recordings.name}/1.flac (similarity" in shown.out
    newest = unrolled("judge", tmp_path / "copy.wav", "--runs", runs)
    assert newest.out == shown.out, newest.err
    missing = unrolled("judge", "tiny", tmp_path / "no.wav", "--runs", runs)
    assert missing.code == 1 and "no.wav" in missing.err
    alone = unrolled("judge", tmp_path / "no.wav", "--runs", runs)
    assert alone.code == 2 and "no.wav: no such file" in alone.err


def test_long_sounds_are_judged_in_pieces(runs, recordings, tmp_path, monkeypatch) -> None:
    copied = soundfile.read(recordings / "1.flac", dtype="float32")[0]
    sounds = [
        np.concatenate((melody(77, 3.0), copied, melody(78, 1.0))),
        melody(79, 1.2),
        melody(80, 0.5),
        copied[RATE // 4 :],
    ]
    paths = [write(tmp_path / f"{number}.wav", sound) for number, sound in enumerate(sounds)]
    judge = Judge(package.load("tiny", runs=runs), pytest.fail)
    expected = judge.copies(paths)
    monkeypatch.setattr(sound_judging, "SECONDS_AT_ONCE", 1.9)
    batches = list(judge.gathered(paths))
    assert len(batches) > 4 and max(sum(len(piece.samples) for piece in batch) for batch in batches) <= 1.9 * RATE
    assert [piece.number for batch in batches for piece in batch if piece.begin == 0] == [0, 1, 2, 3]
    found = judge.copies(paths)
    for one, whole in zip(found, expected, strict=True):
        assert one is not None and whole is not None
        assert (one.copied, one.compared, one.limit, one.seconds) == (
            whole.copied, whole.compared, whole.limit, whole.seconds,
        )  # fmt: skip
        assert (one.nearest is None) == (whole.nearest is None)
        if one.nearest is not None and whole.nearest is not None:
            assert one.nearest.track == whole.nearest.track
            for name in ("similarity", "begin", "place"):
                assert getattr(one.nearest, name) == pytest.approx(getattr(whole.nearest, name), abs=1e-3)
    assert found[0] is not None and found[0].nearest is not None and found[0].nearest.begin >= 2.9
    assert found[2] is not None and found[2].nearest is None


def test_a_long_sound_to_judge_is_never_held_as_a_whole(runs, tmp_path, monkeypatch) -> None:
    path = write(tmp_path / "long.wav", np.tile(melody(1, 2.0), 60))
    monkeypatch.setattr(sound_judging, "SECONDS_AT_ONCE", 2.0)
    judge = Judge(package.load("tiny", runs=runs), pytest.fail)
    tracemalloc.start()
    try:
        last = [(batch[-1].begin, len(batch[-1].samples)) for batch in judge.gathered([path])][-1]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert 119 < last[0] + last[1] / RATE <= 120
    assert peak < 3e6  # all samples together are 7.7 MB


def test_the_soundest_are_chosen_without_a_person(unrolled, runs, curated) -> None:
    words = ("--best", 2, "--of", 4, "--seed", 7, "--stream", 0, "--json")
    best = [json.loads(line) for line in curated([], *words).out.splitlines()]
    everything = [sample for sample in stored(unrolled, runs).values() if sample["seed"] == 7]
    ranked = sorted(everything, key=lambda sample: (-sample["scores"]["soundness"], sample["scores"]["excess"]))
    assert len(everything) == 4 and [one["sample"] for one in best] == [sample["id"] for sample in ranked[:2]]
    assert [(one["rank"], one["by"], one["of"]) for one in best] == [(1, "soundness", 4), (2, "soundness", 4)]


def test_sounds_rank_by_what_is_asked_for() -> None:
    def candidate(likelihood: float, score: float | None, similarity: float) -> SoundCandidate:
        sample = Sample("", 0, 0, {}, "torch", "", "x.flac", 1, scores={"likelihood": likelihood})
        verdict = None if score is None else Verdict(1.0, (), score, {})
        return SoundCandidate(sample, verdict, Memorisation(Match(similarity, 0.0, "", 0.0), 0.0, 0.9, 1.0))

    found = [candidate(-1.0, None, 0.3), candidate(-2.0, 0.4, 0.2), candidate(-3.0, 0.8, 0.4)]
    orders: dict[By, list[int]] = {"likelihood": [0, 1, 2], "novelty": [1, 0, 2], "soundness": [2, 1, 0]}
    for by, order in orders.items():
        assert sorted(range(3), key=lambda number, by=by: rank(found[number], by)) == order


@pytest.mark.parametrize("content", ["", "{}", '{"rate": 16000}', "[1]"])
def test_kept_measures_that_are_damaged_are_learned_again(unrolled, runs, curated, content) -> None:
    for name in ("sound_ranges.json", "sound_copies.json"):
        (runs / "tiny" / name).write_text(content)
    outcome = curated(["k"], "--samples", 1)
    assert outcome.code == 0 and "soundness" in outcome.out
    assert json.loads((runs / "tiny" / "sound_ranges.json").read_text())["windows"] == 6
    assert 0 < json.loads((runs / "tiny" / "sound_copies.json").read_text())["limit"] <= 1


def test_seconds_of_a_part_lie_evenly_on_its_tracks(monkeypatch) -> None:
    codec = SoundCodec(1_000)
    levels = [codec.encode(np.full(count, value / 10)) for value, count in enumerate((50, 700, 9_500, 3_000))]
    symbols = np.concatenate([np.append(codec.begin, track) for track in levels])
    starts = np.cumsum([0, *(len(track) + 1 for track in levels)])
    part = Part(symbols, starts, np.zeros((4, 0)), True)
    found = list(sound_ranges.seconds_of(codec, part))
    assert len(found) == 1 + 9 + 3 and [begin for _, begin in found] == [
        0,
        *(0, 1000, 2000, 3000),
        *[4000] * 5,
        0,
        1000,
        2000,
    ]
    assert [len(heard) - begin for heard, begin in found] == [700] + [1_000] * 12
    assert [round(float(heard.mean()), 1) for heard, _ in found] == [0.1] + [0.2] * 9 + [0.3] * 3
    monkeypatch.setattr(sound_ranges, "PLACES", 4)
    assert [len(heard) for heard, _ in sound_ranges.seconds_of(codec, part)] == [700, 4_000, 5_000, 3_000]


def test_recordings_that_have_changed_are_told(unrolled, runs, curated, recordings) -> None:
    before = (recordings / "0.flac").read_bytes()
    try:
        write(recordings / "0.flac", melody(9, 2.5))
        outcome = curated(["k"], "--samples", 1)
        assert outcome.code == 0 and "has changed" in outcome.err and "soundness" in outcome.out
        refused = curated([], "--best", 1, "--of", 2, "--by", "novelty")
        assert refused.code == 2 and "rank by likelihood" in refused.err and refused.err.count("\n") == 2
    finally:
        (recordings / "0.flac").write_bytes(before)


def test_sounds_are_drawn_and_played_at_a_terminal(unrolled, runs, monkeypatch) -> None:
    class Pressed(curate_loop.Keys):
        def __init__(self) -> None:
            self.keys = ["p", "k"]

        def __enter__(self) -> "Pressed":
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def waiting(self) -> bool:
            return False

        def read(self) -> list[str]:
            return [self.keys.pop(0)]

    for module in (curate_loop, curate_sound):
        monkeypatch.setattr(module, "is_terminal", lambda stream: True)
    monkeypatch.setattr(curate_loop, "Keys", Pressed)
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.delenv("NO_COLOR", raising=False)
    outcome = unrolled("curate", "tiny", "--runs", runs, "--seconds", "0.2", "--samples", 1)
    assert outcome.code == 0 and "1 kept" in outcome.out
    pictures = [line for line in outcome.out.splitlines() if "\u2580" in line]
    assert len(pictures) == 20 and all(line.count("\u2580") == 40 for line in pictures)
    assert "playing needs the package sounddevice" in outcome.out


def test_a_folded_piece_is_made_of_streams_that_overlap(unrolled, runs, tmp_path) -> None:
    words = ("--runs", runs, "--seconds", "0.5", "--overlap", "0.05", "--seed", 3)
    folded = json.loads(unrolled("generate", "tiny", *words, "--fold", 3, "--json").out)
    assert folded["settings"]["fold"] == 3 and folded["settings"]["overlap"] == 0.05
    piece = soundfile.read(folded["text"])[0]
    each = folded["symbols"] // 3
    assert len(piece) == 3 * each - 2 * 800 and len(piece) - RATE // 2 in range(3)
    alone = json.loads(unrolled("generate", "tiny", *words, "--seconds", each / RATE, "--json").out)
    assert np.array_equal(piece[: each - 800], soundfile.read(alone["text"])[0][: each - 800])
    refused = unrolled("generate", "tiny", *words, "--fold", 30)
    assert refused.code == 2 and "shorter than two overlaps" in refused.err


def test_a_single_second_tells_what_it_is_nearest_to(curated) -> None:
    outcome = curated(["k"], "--samples", 1, "--seconds", "1.1")
    assert "nearest is training sound where" in outcome.out or "is training sound again" in outcome.out


def test_what_texts_and_sounds_lack_is_refused(unrolled, runs, curated) -> None:
    refused = curated(["q"], "--length", 5)
    assert refused.code == 2 and "--length is not for run tiny" in refused.err

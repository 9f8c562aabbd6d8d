"""`unrolled generate --play` and the key of `unrolled curate` that plays, on a sound card that plays nothing."""

import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.clock import Clock
from tests.data.sounds import RATE, melody, soundfile, write
from unrolled.api.sound_run import SoundRun
from unrolled.cli import curate_loop
from unrolled.cli.main import main
from unrolled.generation import playing
from unrolled.generation.playing import NullCard, Player
from unrolled.generation.sound import Block

WAVENET = ["--cycles", "1", "--layers", "3", "--width", "4", "--gate", "4", "--skip", "8"]
TRAINING = ["--steps", "2", "--rows", "2", "--length", "64", "--sample-every", "100", "--quiet"]


class Listening(NullCard):
    """A null card on a clock of its own that keeps what it was given, and how it was stopped."""

    def __init__(self, rate: int) -> None:
        self.time = Clock()
        super().__init__(rate, self.time, self.time.sleep)
        self.taken: list[np.ndarray] = []
        self.closed: list[bool] = []

    def write(self, samples: np.ndarray) -> bool:
        self.taken.append(samples)
        return super().write(samples)

    def close(self, at_once: bool) -> None:
        self.closed.append(at_once)
        super().close(at_once)

    @property
    def heard(self) -> np.ndarray:
        return np.concatenate(self.taken)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run called tiny."""
    folder, recordings = tmp_path_factory.mktemp("runs"), tmp_path_factory.mktemp("recordings")
    for number in range(3):
        write(recordings / f"{number}.wav", melody(number))
    words = [str(recordings), "--system", "wavenet", "--runs", str(folder), "--name", "tiny"]
    assert main(["train", *words, *TRAINING, *WAVENET]) == 0
    return folder


@pytest.fixture
def cards(monkeypatch: pytest.MonkeyPatch) -> list[Listening]:
    """The sound cards that were opened, none of which is real."""
    opened: list[Listening] = []

    def card(rate: int) -> Listening:
        opened.append(Listening(rate))
        return opened[-1]

    monkeypatch.setattr(playing, "SoundCard", card)
    return opened


@pytest.fixture
def live(unrolled, runs: Path, cards: list[Listening], tmp_path: Path, monkeypatch) -> Callable[..., Any]:
    """Play 0.7 s of the run, each second of which takes so many to make, until Ctrl-C after so many blocks."""

    def run(seconds: float, *words: object, blocks: int = 1000) -> Any:
        made = SoundRun.blocks

        def slowly(*given: Any) -> Iterator[Block]:
            for number, block in enumerate(made(*given)):
                if number == blocks:
                    raise KeyboardInterrupt
                cards[0].time.now += seconds * block.samples.shape[1] / RATE
                yield block

        with monkeypatch.context() as patch:
            patch.setattr(SoundRun, "blocks", slowly)
            patch.setattr(playing, "Player", lambda card, rate: Player(card, rate, clock=card.time))
            place = ("--seconds", "0.7", "--output", tmp_path / "new.wav")
            return unrolled("generate", "tiny", "--runs", runs, "--play", *place, *words)

    return run


def test_sound_that_is_made_in_time_is_played_whole(live, cards, tmp_path) -> None:
    outcome = live(0.25)
    assert outcome.code == 0 and len(cards) == 1 and cards[0].rate == RATE
    assert "tiny: 0.7 s of sound, 4.00 times as fast as it plays; first sound after 0.05 s; 0 underruns" in outcome.err
    assert cards[0].closed == [False]
    assert cards[0].time.now == pytest.approx(100 + 0.25 * 0.205 + 0.7)  # the lead was made, then all of it was played
    written = soundfile.read(tmp_path / "new.wav", dtype="float32")[0]
    assert len(written) == round(0.7 * RATE) and np.abs(written).max() > 0.01
    assert np.allclose(cards[0].heard, written, atol=1e-4)


def test_sound_that_is_made_slowly_runs_out(live, cards, tmp_path) -> None:
    outcome = live(2.0)
    # The lead of 0.205 s lasts while three blocks of 0.05 s are made in 0.1 s each; the seven after them come late.
    assert "0.50 times as fast as it plays; first sound after 0.41 s; 7 underruns" in outcome.err
    assert outcome.code == 0 and cards[0].closed == [False]
    written = soundfile.read(tmp_path / "new.wav", dtype="float32")[0]
    assert np.allclose(cards[0].heard, written, atol=1e-4)


def test_the_first_of_several_pieces_is_played(live, cards, tmp_path) -> None:
    assert live(0.5, "--samples", 2).code == 0 and len(cards) == 1
    first, second = (soundfile.read(tmp_path / f"new-{number}.wav", dtype="float32")[0] for number in (1, 2))
    assert np.allclose(cards[0].heard, first, atol=1e-4) and not np.allclose(first, second, atol=0.01)


def test_an_interrupt_stops_the_card_at_once_and_keeps_what_was_made(live, cards, tmp_path) -> None:
    outcome = live(0.5, blocks=7)
    made = 80 + 6 * 800
    assert outcome.code == 130 and "2.00 times as fast as it plays" in outcome.err
    assert cards[0].closed == [True] and len(cards[0].heard) == made
    assert soundfile.info(tmp_path / "new.wav").frames == made


def test_nothing_is_made_where_it_cannot_be_played(unrolled, runs, tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    outcome = unrolled("generate", "tiny", "--runs", runs, "--play", "--output", tmp_path / "new.wav")
    assert outcome.code == 2 and "playing needs the package sounddevice" in outcome.err
    assert not (tmp_path / "new.wav").exists()


class Pressed(curate_loop.Keys):
    """Keys that are pressed one after the other, the second once the player has asked `patience` times whether it is.

    It needs no terminal.
    """

    def __init__(self, patience: int) -> None:
        self.keys, self.left = ["p", "k"], patience

    def __enter__(self) -> "Pressed":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def waiting(self) -> bool:
        self.left -= 1
        return self.left < 0

    def read(self) -> list[str]:
        return [self.keys.pop(0)]


@pytest.mark.parametrize(("patience", "taken"), [(100, 5600), (2, 3200)])
def test_a_key_plays_a_candidate_and_the_next_one_stops_it(
    unrolled, runs, cards, monkeypatch, patience: int, taken: int
) -> None:
    monkeypatch.setattr(curate_loop, "is_terminal", lambda stream: True)
    monkeypatch.setattr(curate_loop, "Keys", partial(Pressed, patience))
    outcome = unrolled("curate", "tiny", "--runs", runs, "--seconds", "0.35", "--samples", 1)
    assert outcome.code == 0 and "1 kept" in outcome.out  # the key that stops it is heard as well
    (path,) = [line.strip() for line in outcome.out.splitlines() if line.endswith(".flac")]
    sound = soundfile.read(path, dtype="float32")[0]
    (card,) = cards
    assert len(sound) == 5600 and np.allclose(card.heard, sound[:taken], atol=1e-6)
    assert card.closed == [taken < 5600]

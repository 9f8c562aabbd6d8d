"""Playing: underruns, first sound and pace on a clock that tests turn; a sound card that is only said to be there."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from tests.clock import Clock
from unrolled.core.errors import UsageError
from unrolled.generation import playing
from unrolled.generation.playing import Card, NullCard, Pace, Player, SoundCard

RATE = 1_000


def play(makings: list[float], lead: float = 0.2, block: int = 100) -> tuple[Player, Clock]:
    """A player that has got a block after each of so many seconds of making."""
    clock = Clock()
    player = Player(NullCard(RATE, clock, clock.sleep), RATE, lead, clock)
    for seconds in makings:
        clock.now += seconds
        player.write(np.zeros(block, np.float32))
    return player, clock


def test_sound_that_is_made_in_time_has_no_underrun() -> None:
    player, clock = play([0.05] * 40)
    assert player.underruns == 0 and player.first_sound == pytest.approx(0.1)
    assert player.pace.realtime_factor == pytest.approx(2) and player.pace.seconds == pytest.approx(4)
    assert clock.slept > 0
    player.close()
    assert clock.now == pytest.approx(100 + 0.1 + 4)  # all has been played
    assert player.words() == ("4.0 s of sound, 2.00 times as fast as it plays; first sound after 0.10 s; 0 underruns")


def test_a_card_takes_no_more_than_it_holds() -> None:
    player, clock = play([0.0] * 30)
    assert clock.slept == pytest.approx(3 - playing.CAPACITY) and player.underruns == 0
    assert player.pace.realtime_factor > 1e6


def test_sound_that_comes_late_runs_out() -> None:
    player, clock = play([0.13] * 20)
    assert player.pace.realtime_factor == pytest.approx(1 / 1.3) and clock.slept == 0
    assert player.underruns == 15  # the lead lasts for five blocks


def test_one_pause_is_one_underrun_and_a_lead_bridges_it() -> None:
    makings = [0.05] * 10 + [0.9] + [0.05] * 10
    assert play(makings)[0].underruns == 1
    assert play([0.05] * 10 + [0.3] + [0.05] * 10)[0].underruns == 0
    assert play([0.1] * 10 + [0.3] + [0.1] * 10, lead=0.1)[0].underruns > 0
    assert play([0.1] * 10 + [0.3] + [0.1] * 10, lead=0.5)[0].underruns == 0


def test_less_than_the_lead_is_played_at_the_end() -> None:
    player, clock = play([0.01])
    assert player.first_sound is None and "no sound" in player.words()
    player.close()
    assert player.first_sound == pytest.approx(0.01) and clock.now == pytest.approx(100.11)
    Player(NullCard(RATE, clock, clock.sleep), RATE, clock=clock).close()


def test_an_interrupt_stops_at_once() -> None:
    clock = Clock()
    with pytest.raises(KeyboardInterrupt), Player(NullCard(RATE, clock, clock.sleep), RATE, clock=clock) as player:
        player.write(np.zeros(400, np.float32))
        raise KeyboardInterrupt
    assert clock.now == 100 and player.first_sound == 0


def test_pace_leaves_out_what_handing_over_takes() -> None:
    clock = Clock()
    pace = Pace(RATE, clock)
    assert pace.realtime_factor == 0
    for _ in range(4):
        clock.now += 0.25
        pace.arrived(500)
        clock.now += 7
        pace.resumed()
    assert pace.seconds == 2 and pace.realtime_factor == pytest.approx(2)


class PortAudioError(Exception):
    """What sounddevice raises."""


class Stream:
    """The part of sounddevice.OutputStream that is used."""

    def __init__(self, **settings) -> None:
        if settings["samplerate"] == 1:
            raise PortAudioError("Invalid sample rate\n[PaErrorCode -9997]")
        self.settings, self.calls, self.heard = settings, [], []

    def start(self) -> None:
        self.calls.append("start")

    def write(self, samples: np.ndarray) -> bool:
        assert samples.dtype == np.float32 and samples.flags.c_contiguous and np.abs(samples).max() <= 1
        self.heard.append(samples)
        if len(self.heard) == 9:
            raise PortAudioError("unplugged")
        return len(self.heard) in (1, 3)

    def stop(self) -> None:
        self.calls.append("stop")

    def abort(self) -> None:
        self.calls.append("abort")

    def close(self) -> None:
        self.calls.append("close")


@pytest.fixture
def card(monkeypatch) -> SoundCard:
    monkeypatch.setitem(sys.modules, "sounddevice", SimpleNamespace(OutputStream=Stream, PortAudioError=PortAudioError))
    return SoundCard(RATE)


def test_a_sound_card_gets_every_sample_and_tells_of_underruns(card) -> None:
    sound = np.linspace(-2, 2, 1000)
    with Player(card, RATE) as player:
        for block in np.split(sound, 10)[:6]:
            player.write(block)
    assert np.allclose(np.concatenate(card.stream.heard), sound[:600].clip(-1, 1), atol=1e-6)
    assert player.underruns == 1 and card.stream.calls == ["start", "stop", "close"]
    assert card.stream.settings["samplerate"] == RATE and card.stream.settings["channels"] == 1
    assert isinstance(card, Card) and isinstance(NullCard(RATE), Card)


def test_a_sound_card_stops_at_once_and_may_never_have_started(card) -> None:
    with pytest.raises(ValueError, match="x"), Player(card, RATE) as player:
        player.write(np.zeros(300))
        raise ValueError("x")
    assert card.stream.calls == ["start", "abort", "close"]
    other = SoundCard(RATE)
    Player(other, RATE).close()
    assert other.stream.calls == ["close"]


def test_cards_that_fail_say_so_in_one_line(card) -> None:
    with pytest.raises(UsageError, match=r"no sound card plays 1 samples a second here .Invalid sample rate \[PaError"):
        SoundCard(1)
    with pytest.raises(UsageError, match=r"the sound card stopped .unplugged.: write a file instead"):
        for _ in range(9):
            card.write(np.zeros(10))


@pytest.mark.parametrize(
    ("problem", "message"),
    [(ImportError("no"), r'pip install "unrolled\[play\]"'), (OSError("PortAudio library not found"), "libportaudio2")],
)
def test_what_is_missing_is_named(monkeypatch, problem, message) -> None:
    def import_module(name: str):
        assert name == "sounddevice"
        raise problem

    monkeypatch.setattr(playing, "import_module", import_module)
    with pytest.raises(UsageError, match=message) as caught:
        SoundCard(RATE)
    assert "\n" not in str(caught.value)


def test_a_whole_sound_is_played_to_its_end_or_until_it_is_stopped(card) -> None:
    playing.play(np.full(250, 2.0, np.float32), RATE, card)
    assert card.stream.calls == ["start", "stop", "close"]
    clock, asked = Clock(), []
    heard = NullCard(RATE, clock, clock.sleep)
    playing.play(np.zeros(5_000, np.float32), RATE, heard, lambda: len(asked) == 30 or asked.append(1) is not None)
    assert clock.now - 100 == pytest.approx(2.5, abs=0.11)  # 3 s were taken, half a second was left in the card

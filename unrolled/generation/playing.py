"""Sound that is played while it is made, and how far making keeps ahead of playing."""

import time
from collections.abc import Callable
from importlib import import_module
from typing import Any, Protocol, runtime_checkable

import numpy as np

from unrolled.core.errors import UsageError

LEAD = 0.2  # seconds that are made before the first is played, against uneven making
CAPACITY = 0.5  # seconds that a card holds


@runtime_checkable
class Card(Protocol):
    """What plays sound at its own pace."""

    def write(self, samples: np.ndarray) -> bool:
        """Take samples, once there is room for them; whether the card ran out of sound since it last took some."""
        ...

    def close(self, at_once: bool) -> None:
        """Stop, after all that was taken or at once."""
        ...


class SoundCard:
    """The sound card of this machine, through sounddevice.

    Raises: UsageError where there is no sounddevice, no PortAudio or no card that plays at `rate`.
    """

    def __init__(self, rate: int) -> None:
        try:
            self.sounddevice: Any = import_module("sounddevice")
        except ImportError as error:
            raise UsageError(
                'playing needs the package sounddevice, which cannot be imported here: pip install "unrolled[play]"'
            ) from error
        except OSError as error:
            raise UsageError(
                "playing needs the library PortAudio, which sounddevice cannot find: install it "
                "(on Debian and Ubuntu: apt install libportaudio2)"
            ) from error
        self.started = False
        try:
            self.stream = self.sounddevice.OutputStream(samplerate=rate, channels=1, dtype="float32", latency=CAPACITY)
        except (self.sounddevice.PortAudioError, ValueError) as error:
            raise UsageError(
                f"no sound card plays {rate:,} samples a second here ({one_line(error)}): write a file instead"
            ) from error

    def write(self, samples: np.ndarray) -> bool:
        """Take samples, once there is room for them; whether the card ran out of sound since it last took some."""
        first, self.started = not self.started, True
        try:
            if first:
                self.stream.start()
            ran_out = self.stream.write(np.ascontiguousarray(samples, np.float32))
        except self.sounddevice.PortAudioError as error:
            raise UsageError(f"the sound card stopped ({one_line(error)}): write a file instead") from error
        return bool(ran_out) and not first  # an empty card before the first sound is none that ran out

    def close(self, at_once: bool) -> None:
        """Stop, after all that was taken or at once."""
        try:
            if self.started:
                (self.stream.abort if at_once else self.stream.stop)()
            self.stream.close()
        except self.sounddevice.PortAudioError as error:
            raise UsageError(f"the sound card stopped ({one_line(error)}): write a file instead") from error


class NullCard:
    """Consumes sound as a card does, and plays none: for machines without a card, and for measuring.

    `clock` and `sleep` are in seconds.
    """

    def __init__(
        self,
        rate: int,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.rate, self.clock, self.sleep = rate, clock, sleep
        self.ends: float | None = None  # when all that was taken has been played

    def write(self, samples: np.ndarray) -> bool:
        """Take samples, once there is room for them; whether the card ran out of sound since it last took some."""
        now = self.clock()
        ran_out = self.ends is not None and now > self.ends
        begins = now if self.ends is None else max(now, self.ends)
        self.ends = begins + len(samples) / self.rate
        self.wait(CAPACITY)
        return ran_out

    def close(self, at_once: bool) -> None:
        """Stop, after all that was taken or at once."""
        if not at_once:
            self.wait(0.0)

    def wait(self, left: float) -> None:
        """Wait until no more than `left` seconds are to be played."""
        if self.ends is not None and self.ends - self.clock() > left:
            self.sleep(self.ends - self.clock() - left)


class Pace:
    """How fast sound is made: time between `arrived` and `resumed` is spent on handing it over and does not count."""

    def __init__(self, rate: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate, self.clock = rate, clock
        self.samples, self.busy = 0, 0.0
        self.begun = self.since = clock()

    def arrived(self, samples: int) -> None:
        """So many more have been made."""
        self.busy += self.clock() - self.since
        self.samples += samples

    def resumed(self) -> None:
        """Making goes on."""
        self.since = self.clock()

    @property
    def seconds(self) -> float:
        """How much sound has been made."""
        return self.samples / self.rate

    @property
    def realtime_factor(self) -> float:
        """Seconds of sound made in a second of making; 0 before there is any."""
        return self.seconds / max(self.busy, 1e-9)


class Player:
    """Plays blocks of one row of samples on a card as they are made, and counts.

    The first `lead` seconds are gathered before any is played. `first_sound`: seconds from the making of the player to
    when the first sound is handed to the card, None before. `underruns`: how often the card ran out of sound. As a
    context manager it plays to the end, or stops at once where an exception leaves it.
    """

    def __init__(self, card: Card, rate: int, lead: float = LEAD, clock: Callable[[], float] = time.monotonic) -> None:
        self.card, self.lead = card, round(lead * rate)
        self.pace = Pace(rate, clock)
        self.waiting: list[np.ndarray] | None = []  # None once playing
        self.first_sound: float | None = None
        self.underruns = 0

    def write(self, block: np.ndarray) -> None:
        """Play samples between -1 and 1 after all others; waits while the card is full."""
        self.pace.arrived(len(block))
        if self.waiting is None:
            self.hand_over(block)
        else:
            self.waiting.append(block)
            if self.pace.samples >= self.lead:
                self.begin()
        self.pace.resumed()

    def begin(self) -> None:
        """Play what has been gathered."""
        if self.waiting:
            gathered, self.waiting = np.concatenate(self.waiting), None
            self.first_sound = self.pace.clock() - self.pace.begun
            self.hand_over(gathered)

    def hand_over(self, samples: np.ndarray) -> None:
        """Give samples to the card."""
        self.underruns += self.card.write(samples.clip(-1, 1))

    def close(self, at_once: bool = False) -> None:
        """Play to the end, or stop at once."""
        if not at_once:
            self.begin()
        self.card.close(at_once)

    def words(self) -> str:
        """One line for people."""
        factor, seconds = self.pace.realtime_factor, self.pace.seconds
        first = "no sound" if self.first_sound is None else f"first sound after {self.first_sound:.2f} s"
        times = "1 underrun" if self.underruns == 1 else f"{self.underruns} underruns"
        return f"{seconds:.1f} s of sound, {factor:.2f} times as fast as it plays; {first}; {times}"

    def __enter__(self) -> "Player":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.close(at_once=kind is not None)


def play(samples: np.ndarray, rate: int, card: Card, stopped: Callable[[], bool] = lambda: False) -> None:
    """Play a whole sound, to its end or until `stopped`, which is asked ten times a second."""
    at_once = True
    try:
        for start in range(0, len(samples), max(1, rate // 10)):
            if stopped():
                return
            card.write(samples[start : start + max(1, rate // 10)].clip(-1, 1))
        at_once = False
    finally:
        card.close(at_once)


def one_line(error: Exception) -> str:
    """What an error says, on one line."""
    return " ".join(str(error).split())

"""Whether generated sound has collapsed into silence, noise, a stuck value or a loop, measured by the training sound.

Sound is measured second by second, and the training sound gives each measure its range. Learn ranges from sound as the
model hears it, that is `codec.normalise(samples)`: coarse levels have their own entropy and flatness.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from unrolled.core.errors import DataError, RunError, UsageError
from unrolled.inspection.measures import MEASURES, SILENT, measured, windows
from unrolled.inspection.spectrum import pieces

TAIL = 0.02  # share of training windows below, and above, a range
MOST = 1000  # training windows at least, and twice as many at most, where there are more
COLLAPSED = 0.5  # share of windows that are outside before it is said


SLACK = np.array([measure.slack for measure in MEASURES.values()])
BELOW = np.array([measure.below is not None for measure in MEASURES.values()])
ABOVE = np.array([measure.above is not None for measure in MEASURES.values()])


@dataclass(frozen=True)
class Ranges:
    """Where the measures of training sound lie: all but a share of TAIL on either side, of windows that are not silent.

    `windows` is how many were measured.
    """

    rate: int
    windows: int
    low: tuple[float, ...]
    high: tuple[float, ...]

    def to_json(self) -> dict[str, Any]:
        """What `ranges_from_json` needs."""
        pairs = zip(MEASURES, zip(self.low, self.high, strict=True), strict=True)
        return {"rate": self.rate, "windows": self.windows, "ranges": {name: list(pair) for name, pair in pairs}}


def ranges_from_json(data: dict[str, Any]) -> Ranges:
    """The inverse of `Ranges.to_json`.

    Raises: RunError if the data is not what to_json writes.
    """
    try:
        pairs = [data["ranges"][name] for name in MEASURES]
        numbers = [number for pair in pairs for number in pair]
        low, high = numbers[::2], numbers[1::2]
        right = all(len(pair) == 2 and pair[0] <= pair[1] for pair in pairs)
        right = right and all(type(number) in (int, float) and math.isfinite(number) for number in numbers)
        right = right and all(type(data[name]) is int and data[name] > 0 for name in ("rate", "windows"))
    except (KeyError, TypeError, OverflowError):
        right, low, high = False, [], []
    if not right:
        raise RunError(f"these are no ranges of sound ({str(data)[:100]}): learn them again from the training sound")
    return Ranges(data["rate"], data["windows"], tuple(map(float, low)), tuple(map(float, high)))


class Finding(NamedTuple):
    """One measure of a sound: the median of its windows (None where all are silent), the range, the share outside it.

    A window is outside from one slack beyond the range.
    """

    value: float | None
    low: float
    high: float
    below: float
    above: float

    def shown(self, name: str) -> str:
        """The value with its name and unit."""
        value = "none" if self.value is None else f"{self.value:.4g}"
        return f"{name} {value} {MEASURES[name].unit}"

    def words(self, name: str) -> str:
        """The finding in a few words, with the share that is outside where the median is not."""
        range_ = f"{self.low:.4g} to {self.high:.4g}"
        if self.value is not None and self.low <= self.value <= self.high:
            return f"{self.shown(name)}, and {max(self.below, self.above):.0%} of it outside {range_} of training sound"
        return f"{self.shown(name)} where training sound has {range_}"


@dataclass(frozen=True)
class Verdict:
    """What is wrong with a sound, most of it first; nothing if `verdicts` is empty.

    `score`, 0 to 1, ranks samples: 1 minus the mean over windows of how far, in slacks up to 1, the worst measure lies
    out of its range. So real sound scores near 1, and what has collapsed near 0. `excess` is that mean without the
    bound of 1, which tells apart what has wholly collapsed.
    """

    seconds: float
    verdicts: tuple[str, ...]
    score: float
    findings: Mapping[str, Finding]
    excess: float = 0.0

    def warning(self) -> str | None:
        """One line that says what is wrong and shows it, None if nothing is."""
        if not self.verdicts:
            return None
        wrong = [name for name, finding in self.findings.items() if max(finding.below, finding.above) >= COLLAPSED]
        return f"{', '.join(self.verdicts)}: {'; '.join(self.findings[name].words(name) for name in wrong)}"

    def words(self) -> str:
        """One line for people."""
        what = self.warning() or "within the ranges of the training sound"
        return f"soundness {self.score:.2f} of 1, {what}"

    def measures(self) -> str:
        """What was measured, on one line."""
        return ", ".join(finding.shown(name) for name, finding in self.findings.items())

    def to_json(self) -> dict[str, Any]:
        """All of it, with units."""
        findings = {name: {**finding._asdict(), "unit": MEASURES[name].unit} for name, finding in self.findings.items()}
        return {
            "seconds": self.seconds,
            "verdicts": list(self.verdicts),
            "score": self.score,
            "excess": self.excess,
            "findings": findings,
        }


def ranges_of(blocks: Iterable[np.ndarray], rate: int) -> Ranges:
    """The ranges of training sound, which comes in blocks, one track after another.

    Of long sound every second, fourth, eighth ... window is measured, so that time and memory hardly grow.
    Raises: DataError for sound that is too short or silence only.
    """
    kept: list[np.ndarray] = []
    stride = 1
    for number, (heard, begin) in enumerate(windows(blocks, rate)):
        if number % stride:
            continue
        kept.append(measured(heard, begin, rate))
        if len(kept) == 2 * MOST:
            kept, stride = kept[::2], stride * 2
    return ranges_in(kept, rate)


def ranges_in(rows: Sequence[np.ndarray], rate: int) -> Ranges:
    """The ranges of windows that were `measured`.

    Raises: DataError where all are silent.
    """
    sounding = np.array([row for row in rows if row[0] > SILENT])
    if not len(sounding):
        raise DataError("the training sound is silence only: there are no ranges to learn from it")
    low, high = np.quantile(sounding, [TAIL, 1 - TAIL], axis=0)
    return Ranges(rate, len(rows), tuple(low.tolist()), tuple(high.tolist()))


def judge(samples: np.ndarray, rate: int, ranges: Ranges) -> Verdict:
    """What a sound is like beside the training sound.

    Raises: UsageError if the ranges are of another rate; DataError for sound that is too short.
    """
    return judge_blocks(pieces(samples), rate, ranges)


def judge_blocks(blocks: Iterable[np.ndarray], rate: int, ranges: Ranges) -> Verdict:
    """As `judge`, of sound that comes in blocks and is never held as a whole."""
    if rate != ranges.rate:
        raise UsageError(
            f"sound of {rate:,} samples a second, ranges of {ranges.rate:,}: learn ranges at the rate of the sound"
        )
    counted = Counted(blocks)
    rows = np.array([measured(heard, begin, rate) for heard, begin in windows(counted, rate)])
    below = np.nan_to_num((np.array(ranges.low) - rows) / SLACK * BELOW).clip(0)
    above = np.nan_to_num((rows - np.array(ranges.high)) / SLACK * ABOVE).clip(0)
    worst = np.maximum(below, above).max(axis=1)
    score, excess = 1 - float(worst.clip(max=1).mean()), float(worst.mean())
    findings = {}
    for column, name in enumerate(MEASURES):
        values = rows[:, column][~np.isnan(rows[:, column])]
        findings[name] = Finding(
            value=float(np.median(values)) if len(values) else None,
            low=ranges.low[column],
            high=ranges.high[column],
            below=float((below[:, column] >= 1).mean()),
            above=float((above[:, column] >= 1).mean()),
        )
    return Verdict(counted.samples / rate, named(findings), score, findings, excess)


class Counted:
    """Blocks, and how many samples they held."""

    def __init__(self, blocks: Iterable[np.ndarray]) -> None:
        self.blocks, self.samples = blocks, 0

    def __iter__(self) -> Iterator[np.ndarray]:
        for block in self.blocks:
            self.samples += len(block)
            yield block


def named(findings: Mapping[str, Finding]) -> tuple[str, ...]:
    """The names of what COLLAPSED of the windows or more show, what most show first."""
    shares: dict[str, float] = {}
    for name, finding in findings.items():
        for word, share in ((MEASURES[name].below, finding.below), (MEASURES[name].above, finding.above)):
            if word is not None and share >= COLLAPSED:
                shares[word] = share
    return tuple(sorted(shares, key=lambda word: -shares[word]))

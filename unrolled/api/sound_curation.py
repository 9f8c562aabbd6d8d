"""Sounds of a run with their scores and pictures, to be chosen from."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from unrolled.api.sound_judging import Judge, samples_of
from unrolled.api.sound_ranges import scores_of
from unrolled.api.sound_run import SoundRequest
from unrolled.core.errors import UsageError
from unrolled.core.files import write_file
from unrolled.generation.curation import By, best
from unrolled.inspection.canvas import png
from unrolled.inspection.collapse import Verdict
from unrolled.inspection.memorisation import Memorisation
from unrolled.inspection.pictures import picture
from unrolled.store.records import Sample

Choose = Callable[[list["SoundCandidate"]], list["SoundCandidate"]]


@dataclass(frozen=True)
class SoundCandidate:
    """A sound to decide about; `verdict` and `copied` are None where the training sound is not at hand."""

    made: Sample
    verdict: Verdict | None = None
    copied: Memorisation | None = None

    @property
    def sample(self) -> str:
        """The id of the sample."""
        return self.made.id

    @property
    def path(self) -> Path:
        """The sound file."""
        return Path(self.made.text)

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return float(self.made.settings["seconds"])

    @property
    def likelihood(self) -> float:
        """Nats per symbol under the model."""
        return float(self.made.scores["likelihood"])

    def record(self) -> dict[str, Any]:
        """What an export says of it: the file first, the fields beside it."""
        scores = {name: value for name, value in self.made.scores.items() if name != "findings"}
        facts = {"sample": self.sample, "seconds": self.seconds, "seed": self.made.seed, "stream": self.made.stream}
        return {"file": str(self.path.resolve()), **self.made.where, **facts, **scores}


def sound_candidates(judge: Judge, request: SoundRequest, count: int, choose: Choose = list) -> list[SoundCandidate]:
    """`count` sounds of a request with their scores, written down in the run with a picture beside each.

    `choose` may leave some out of those that are given, in its order, and add to their scores.
    """
    run, kept = judge.run, list[SoundCandidate]()

    def score(samples: Sequence[Sample]) -> list[Sample]:
        found = judged(judge, samples)
        kept.extend(choose(found))
        ranked = {candidate.path: candidate.made for candidate in kept}
        return [ranked.get(candidate.path, candidate.made) for candidate in found]

    paths = [run.place(request, number) for number in range(count)]
    made = {sample.text: sample for sample in run.render(request, paths, note=judge.note, score=score)}
    for path in paths:
        draw(path, run.codec.rate)
    return [replace(candidate, made=made[candidate.made.text]) for candidate in kept]


def best_sounds(judge: Judge, request: SoundRequest, count: int, by: By, chosen: int) -> list[SoundCandidate]:
    """The best `chosen` of `count` sounds, best first; all are written down in the run, the chosen with their rank.

    Raises: UsageError, before any is made, if there are not as many, or if what they are ranked by cannot be known.
    """
    if not 0 < chosen <= count:
        raise UsageError(f"the best {chosen} of {count}: pass a number from 1 to {count}")
    if (by == "soundness" and judge.ranges is None) or (by == "novelty" and judge.recordings is None):
        raise UsageError(f"the training sound is not at hand, so {by} is not known: rank by likelihood")

    def choose(found: list[SoundCandidate]) -> list[SoundCandidate]:
        ranked = best(found, lambda candidate: rank(candidate, by), chosen)
        return [with_scores(one, rank=number, by=by, of=count) for number, one in enumerate(ranked, 1)]

    return sound_candidates(judge, request, count, choose)


def judged(judge: Judge, samples: Sequence[Sample]) -> list[SoundCandidate]:
    """Candidates of samples, what is known of them among their scores."""
    paths = [Path(sample.text) for sample in samples]
    found = []
    for sample, path, copied in zip(samples, paths, judge.copies(paths), strict=True):
        verdict = judge.verdict(path)
        candidate = SoundCandidate(sample, verdict, copied)
        scores = {} if verdict is None else scores_of(verdict)
        found.append(with_scores(candidate, **scores, **({} if copied is None else {"memorisation": copied.to_json()})))
    return found


def with_scores(candidate: SoundCandidate, **scores: Any) -> SoundCandidate:
    """A candidate whose sample has further scores."""
    return replace(candidate, made=replace(candidate.made, scores={**candidate.made.scores, **scores}))


def rank(candidate: SoundCandidate, by: By) -> tuple[float, float]:
    """A key that is lower for a sounder, newer or likelier sound; what is too short to be judged comes last."""
    if by == "likelihood":
        return -candidate.likelihood, 0.0
    if by == "novelty":
        copied = candidate.copied
        return 0.0 if copied is None or copied.nearest is None else copied.nearest.similarity, 0.0
    verdict = candidate.verdict
    return (math.inf, 0.0) if verdict is None else (-verdict.score, verdict.excess)


def draw(path: Path, rate: int) -> Path:
    """A picture beside a sound file: its waveform and spectrogram as PNG."""
    place = path.with_suffix(".png")
    write_file(place, png(picture(samples_of(path, rate), rate)))
    return place

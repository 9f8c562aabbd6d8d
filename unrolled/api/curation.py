"""Samples of a run with their scores, to be chosen from."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from unrolled.api.media.text import reopen_text
from unrolled.api.run import Run
from unrolled.api.text_run import TextRequest, TextRun
from unrolled.core.errors import DataError, UsageError
from unrolled.data.corpus import Document
from unrolled.generation.curation import By, Candidate, best, rank
from unrolled.generation.novelty import Novelty, novelty
from unrolled.store.folders import SAMPLES
from unrolled.store.journal import records
from unrolled.store.records import Sample


def candidates(run: TextRun, request: TextRequest, count: int, note: Callable[[str], None]) -> list[Candidate]:
    """`count` samples of a request with their scores, written down in the run.

    `note` is told if the training text is not at hand; novelty is then None.
    """
    return recorded(run, *scored(run, request, count, note))


def best_candidates(
    run: TextRun, request: TextRequest, count: int, by: By, chosen: int, note: Callable[[str], None]
) -> list[Candidate]:
    """The best `chosen` of `count` samples, best first; all are written down in the run, the chosen with their rank.

    Raises: UsageError if there are not as many, or if novelty is asked for and the training text is not at hand.
    """
    found, samples = scored(run, request, count, note)
    ranked = best(found, lambda candidate: rank(candidate, by), chosen)
    for number, candidate in enumerate(ranked, 1):
        index = found.index(candidate)
        samples[index] = replace(
            samples[index], scores={**samples[index].scores, "rank": number, "by": by, "of": count}
        )
    named = recorded(run, found, samples)
    return [named[found.index(candidate)] for candidate in ranked]


def scored(
    run: TextRun, request: TextRequest, count: int, note: Callable[[str], None]
) -> tuple[list[Candidate], list[Sample]]:
    """Candidates, known by their number so far, and the samples as they are to be written down."""
    texts = run.texts(request, count, note)
    news: list[Novelty | None] = [None] * count
    try:
        news = [*novelty([text.text for text in texts], training_text(run), records=run.is_records)]
    except (DataError, UsageError) as problem:
        note(f"novelty is not known: {problem}")
    found, samples = [], []
    for number, (text, new) in enumerate(zip(texts, news, strict=True)):
        sample = run.sample(request, number, text)
        scores = {**sample.scores, "likelihood": text.likelihood, **({} if new is None else described(new))}
        samples.append(replace(sample, scores=scores))
        found.append(Candidate(str(number), request.prompt + text.text, text.likelihood, new, request.where))
    return found, samples


def recorded(run: TextRun, found: list[Candidate], samples: list[Sample]) -> list[Candidate]:
    """Candidates by the ids of their samples, after these were written down."""
    return [replace(candidate, sample=sample.id) for candidate, sample in zip(found, run.record(samples), strict=True)]


def described(new: Novelty) -> dict[str, Any]:
    """Novelty as it is kept with a sample."""
    place = None if new.place is None else new.place._asdict()
    return {"novelty": new.score, "n": new.n, "span": new.span, "place": place}


def training_text(run: TextRun) -> Callable[[], Iterator[Document]]:
    """The text that a run was trained on, as its codec knows it.

    Raises: DataError if it has changed or is not where it was.
    """
    data, options = run.config.data, run.config.training["options"]
    corpus = reopen_text(run, data["paths"], options, options["split"])
    if corpus.fingerprint() != data["fingerprint"]:
        raise DataError(f"the data of run {run.folder.name} has changed since it was trained: put the old files back")

    def passages() -> Iterator[Document]:
        for document in corpus.documents("train"):
            yield document._replace(text=run.codec.normalise(document.text))

    return passages


def next_stream(run: Run, seed: int) -> int:
    """The number after those of the streams that the run has made with `seed`."""
    made = (record for record in records(run.folder.path / SAMPLES) if record.get("seed") == seed)
    streams = ((record.get("stream"), record.get("settings", {}).get("fold", 1)) for record in made)
    return max((first + count for first, count in streams if isinstance(first, int)), default=0)

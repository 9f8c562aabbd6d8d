"""Data for a model that is trained already: of the same kind, with as many of its fields as the data has."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from unrolled.api.run import Run
from unrolled.core.errors import UsageError
from unrolled.data.corpus import Corpus, SplitRule, open_corpus

KINDS = {True: "records", False: "one long text"}


def corpus_for(run: Run, paths: Sequence[str | Path], text_field: str, split: SplitRule) -> Corpus:
    """The corpus at `paths` as `run` reads it; fields that it lacks are unspecified.

    Raises: DataError for what cannot be read, UsageError for records where the run learned one long text, or the other
    way round.
    """
    corpus = open_corpus(paths, text_field=text_field, split=split)
    if corpus.is_records != run.is_records:
        raise UsageError(
            f"run {run.folder.name} learned {KINDS[run.is_records]}, {corpus.sources[0].path} holds "
            f"{KINDS[corpus.is_records]}: name data of the same kind"
        )
    return replace(corpus, fields=tuple(name for name in run.fields.names if name in corpus.columns))

"""Text: records or one long text, and bits per character."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from unrolled.api.media import Medium
from unrolled.api.options import TextOptions
from unrolled.api.run import Run
from unrolled.api.text_run import TextRun
from unrolled.codecs import make_codec
from unrolled.codecs.text import TextCodec
from unrolled.core.errors import UsageError
from unrolled.data.corpus import Corpus, SplitRule, open_corpus
from unrolled.data.encoded import Encoded, encode_corpus

KINDS = {True: "records", False: "one long text"}


def open_text(paths: Sequence[str | Path], options: TextOptions, config: Any) -> Corpus:
    """The corpus of a new training."""
    return open_corpus(paths, fields=options.fields, text_field=options.text_field, split=SplitRule(options.split))


def reopen_text(run: Run, paths: Sequence[str | Path], options: dict[str, Any], train: float) -> Corpus:
    """The corpus at `paths` as `run` reads it; fields that it lacks are unspecified.

    Raises: DataError for what cannot be read, UsageError for records where the run learned one long text, or the other
    way round.
    """
    corpus = open_corpus(paths, text_field=options["text_field"], split=SplitRule(train))
    if corpus.is_records != run.is_records:
        raise UsageError(
            f"run {run.folder.name} learned {KINDS[run.is_records]}, {corpus.sources[0].path} holds "
            f"{KINDS[corpus.is_records]}: name data of the same kind"
        )
    return replace(corpus, fields=tuple(name for name in run.fields.names if name in corpus.columns))


def text_codec(system: Any, config: Any, corpus: Corpus, options: TextOptions) -> TextCodec:
    """Symbols from the text of the training part, or of all."""
    part = None if options.vocabulary_from == "all" else "train"
    kind, vocabulary = system.codec(config)
    return make_codec(kind, corpus.texts(part), vocabulary)


def bits_per_character(encoded: Encoded, corpus: Corpus) -> float:
    """What nats per symbol are multiplied by to give bits per character of a corpus.

    The begin and the end of a record are symbols but no text.
    """
    parts = (encoded.train, encoded.validation)
    symbols = sum(len(part.symbols) - 2 * (len(part.starts) - 1) * part.is_records for part in parts)
    return symbols / max(1, corpus.facts()["characters"]) / math.log(2)


def words(data: dict[str, Any]) -> str:
    """What the data is, from its facts."""
    return f"{data['characters']:,} characters"


def flags(options: dict[str, Any]) -> list[str]:
    """The options of text that are unlike the usual ones, as they are typed."""
    usual = {"text_field": "text", "vocabulary_from": "train"}
    return [f"--{name.replace('_', '-')}={options[name]}" for name in usual if options[name] != usual[name]]


MEDIUM = Medium(
    name="text",
    unit="character",
    options=TextOptions,
    run=TextRun,
    open=open_text,
    reopen=reopen_text,
    codec=text_codec,
    encode=encode_corpus,
    bits=bits_per_character,
    words=words,
    flags=flags,
    judge=lambda run, part, specimen: None,
)

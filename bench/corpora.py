"""The default on two corpora that it was not tuned on, against n-gram tables and its nearest neighbours there."""

import bz2
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.common import hardware, shared_text, temporary_runs
from bench.minutes import row
from bench.ngram import cross_entropy
from bench.sweep import NEIGHBOURS
from unrolled.codecs import make_codec
from unrolled.data.corpus import open_corpus
from unrolled.data.encoded import encode_corpus

CORPORA = {
    "sonnets": ("records/sonnets_spanish.jsonl", []),
    "wiki-xml": ("wiki-xml/enwiki-shortened.xml.bz2", ["--symbols=bytes"]),
}
COMPARED = ("default", "hidden 192", "hidden 384")


@dataclass(frozen=True)
class Command:
    """For how long to train."""

    minutes: float = 3.0
    """time budget of each run"""


def measure(command: Command) -> Iterator[dict[str, Any]]:
    """For each corpus the 5-gram table's loss, then one row a configuration."""
    with temporary_runs() as runs:
        for name, (file, options) in CORPORA.items():
            data = plain_text(shared_text(file), runs)
            kind = "bytes" if options else "characters"
            yield {"bench": "corpora", "corpus": name, "model": "5-gram table", "nats": five_gram(data, kind)}
            for configuration in COMPARED:
                arguments = [f"--minutes={command.minutes:g}", *options, *NEIGHBOURS[configuration]]
                found = row(data, arguments, runs) | {
                    "bench": "corpora",
                    "corpus": name,
                    "configuration": configuration,
                }
                yield found | hardware()


def plain_text(path: Path, folder: Path) -> Path:
    """The file itself, or a copy of it without compression."""
    if path.suffix != ".bz2":
        return path
    target = folder / path.stem
    target.write_bytes(bz2.decompress(path.read_bytes()))
    return target


def five_gram(data: Path, kind: str) -> float:
    """Nats per symbol of an interpolated 5-gram table over the very symbols that the model reads."""
    corpus = open_corpus([data])
    codec = make_codec(kind, corpus.texts("train"), None)
    encoded = encode_corpus(corpus, codec)
    return cross_entropy(np.asarray(encoded.train.symbols), np.asarray(encoded.validation.symbols), codec.size, 5)[-1]

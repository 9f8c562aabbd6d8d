"""Text to symbols and back. numpy only, never torch."""

import importlib
from collections.abc import Iterable
from typing import Any

from unrolled.codecs.text import TextCodec
from unrolled.core.errors import RunError, UsageError

# each module has make(texts, vocabulary) and from_json(data)
CODECS = {
    "characters": "unrolled.codecs.characters",
    "bytes": "unrolled.codecs.bytes",
    "bpe": "unrolled.codecs.bpe",
    "words": "unrolled.codecs.words",
}


def make_codec(kind: str, texts: Iterable[str], vocabulary: int | None = None) -> TextCodec:
    """A codec whose symbols come from `texts`: at most `vocabulary`, not counting begin, end and unknown."""
    if kind not in CODECS:
        raise UsageError(f"codec {kind!r} is not known: choose one of {', '.join(CODECS)}")
    if vocabulary is not None and vocabulary < 1:
        raise UsageError(f"vocabulary {vocabulary} is too small: pass a number of symbols above 0, or leave it out")
    return importlib.import_module(CODECS[kind]).make(texts, vocabulary)


def codec_from_json(data: Any) -> TextCodec:
    """The codec that `to_json` described; the data may come from a stranger.

    Raises: RunError if the data is not what a codec writes.
    """
    if not isinstance(data, dict):
        raise RunError(f"codec.json holds {type(data).__name__}, not an object: take its run again")
    kind = data.get("kind")
    if not isinstance(kind, str) or kind not in CODECS:
        raise RunError(f"codec.json names the codec {kind!r}, known are {', '.join(CODECS)}: update unrolled")
    return importlib.import_module(CODECS[kind]).from_json(data)

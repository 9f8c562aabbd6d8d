"""Text and sound to symbols and back. numpy only, never torch."""

import importlib
from collections.abc import Iterable
from typing import Any, Protocol, runtime_checkable

import numpy as np

from unrolled.codecs.text import TextCodec
from unrolled.core.errors import RunError, UsageError

# codecs of text: each module has make(texts, vocabulary) and from_json(data)
CODECS = {
    "characters": "unrolled.codecs.characters",
    "bytes": "unrolled.codecs.bytes",
    "bpe": "unrolled.codecs.bpe",
    "words": "unrolled.codecs.words",
}
# codecs that are not made from text: each module has from_json(data)
OTHERS = {"sound": "unrolled.codecs.sound"}


@runtime_checkable
class Codec(Protocol):
    """What every codec is: raw data to symbols 0 to `size` - 1 and back."""

    @property
    def kind(self) -> str:
        """Its name in codec.json."""
        ...

    @property
    def size(self) -> int:
        """Number of symbols."""
        ...

    @property
    def begin(self) -> int:
        """The symbol before the first of a record."""
        ...

    @property
    def end(self) -> int:
        """The symbol that ends a record."""
        ...

    def encode(self, *args: Any, **kwargs: Any) -> np.ndarray:
        """Symbols of raw data."""
        ...

    def decode(self, *args: Any, **kwargs: Any) -> Any:
        """Raw data of symbols."""
        ...

    def to_json(self) -> dict[str, Any]:
        """What `codec_from_json` needs to build this codec again."""
        ...


def make_codec(kind: str, texts: Iterable[str], vocabulary: int | None = None) -> TextCodec:
    """A codec whose symbols come from `texts`: at most `vocabulary`, not counting begin, end and unknown."""
    if kind not in CODECS:
        raise UsageError(f"codec {kind!r} is not known: choose one of {', '.join(CODECS)}")
    if vocabulary is not None and vocabulary < 1:
        raise UsageError(f"vocabulary {vocabulary} is too small: pass a number of symbols above 0, or leave it out")
    return importlib.import_module(CODECS[kind]).make(texts, vocabulary)


def codec_from_json(data: Any) -> Codec:
    """The codec that `to_json` described; the data may come from a stranger.

    Raises: RunError if the data is not what a codec writes.
    """
    if not isinstance(data, dict):
        raise RunError(f"codec.json holds {type(data).__name__}, not an object: take its run again")
    kind, known = data.get("kind"), CODECS | OTHERS
    if not isinstance(kind, str) or kind not in known:
        raise RunError(f"codec.json names the codec {kind!r}, known are {', '.join(known)}: update unrolled")
    return importlib.import_module(known[kind]).from_json(data)

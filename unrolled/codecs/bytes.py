"""The bytes of UTF-8 as symbols: no character is ever unknown."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from unrolled.codecs.text import REPLACEMENT, SURROGATE, TextCodec, Unknown
from unrolled.core.errors import UsageError


class ByteCodec(TextCodec):
    """256 symbols, one per byte value."""

    kind = "bytes"

    def __init__(self) -> None:
        super().__init__([bytes([value]) for value in range(256)], unknown=False)

    def encode(self, text: str, unknown: Unknown = "refuse") -> np.ndarray:
        """See TextCodec.encode."""
        if unknown == "refuse":
            self.refuse(text)
        else:
            text = SURROGATE.sub(REPLACEMENT, text)
        return np.frombuffer(text.encode(), np.uint8).astype(np.int32)

    def to_json(self) -> dict[str, Any]:
        """See TextCodec.to_json."""
        return {"kind": self.kind}


def make(texts: Iterable[str], vocabulary: int | None) -> ByteCodec:
    """The one byte codec; `texts` are not read."""
    if vocabulary not in (None, 256):
        raise UsageError(f"vocabulary {vocabulary} does not fit the bytes codec, which has 256 symbols: leave it out")
    return ByteCodec()


def from_json(data: dict[str, Any]) -> ByteCodec:
    """The inverse of to_json."""
    return ByteCodec()

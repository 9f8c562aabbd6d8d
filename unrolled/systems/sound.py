"""Assembly that the sound systems share."""

from dataclasses import fields, replace
from typing import Any

from torch import nn

from unrolled.codecs.sound import SoundCodec
from unrolled.core.protocol import Backbone
from unrolled.heads.symbols import SymbolHead
from unrolled.models.sequence import FieldEmbedding, SequenceModel

COMMANDS = frozenset({"train", "generate", "curate", "judge", "album", "evaluate", "check"})
FIELD_WIDTH = 64


def preset(config: Any, presets: dict[str, dict[str, Any]]) -> Any:
    """A config whose fields of None are those of its preset."""
    chosen = presets[config.preset]
    open_fields = {item.name for item in fields(config) if getattr(config, item.name) is None}
    return replace(config, **{name: value for name, value in chosen.items() if name in open_fields})


def sound_model(
    codec: SoundCodec, embed: nn.Module, backbone: Backbone, head: SymbolHead, field_sizes: tuple[int, ...]
) -> SequenceModel:
    """The model of a sound system; `backbone` reads the vector of the fields where the recordings have chosen ones."""
    fields = FieldEmbedding(field_sizes, FIELD_WIDTH) if field_sizes else None
    return SequenceModel(embed, backbone, head, begin=codec.begin, end=codec.end, fields=fields)

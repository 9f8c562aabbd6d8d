"""Lowering of whole models and of backbones alone."""

from typing import Any, cast

import numpy as np
import torch
from torch import nn

from unrolled.backbones.normed import folded
from unrolled.core.protocol import Backbone
from unrolled.engine.lowering.builder import Builder, NotLowered, Table, Value, exact
from unrolled.engine.lowering.table import TABLE
from unrolled.engine.program import Program
from unrolled.heads.categorical import Categorical
from unrolled.models.levels import Levels
from unrolled.models.sequence import FieldEmbedding, OneHot, SequenceModel


def lower(model: SequenceModel, model_sha256: str = "") -> Program:
    """The step program of a model: a symbol to logits. Raises: NotLowered."""
    if type(model) is not SequenceModel or type(model.head) is not Categorical:
        raise NotLowered(f"{type(model).__name__} with {type(model.head).__name__}")
    model = cast(SequenceModel, folded(model))
    builder = Builder(TABLE, model)
    features = builder.lower(model.backbone, Value(table=embedding(builder, model.embed)), "state")
    project = cast(Categorical, model.head).project
    logits = builder.linear(features, project.weight, project.bias)
    fields, shifts = field_tables(builder, model.fields) if model.fields is not None else ((), ())
    return builder.program(
        logits,
        symbols=project.out_features,
        begin=model.begin,
        end=model.end,
        position_limit=model.position_limit or -1,
        fields=fields,
        shifts=shifts,
        model_sha256=model_sha256,
    )


def lower_backbone(backbone: Backbone) -> Program:
    """The step program of a backbone alone: a vector, in the buffer "control", to features. Raises: NotLowered."""
    backbone = cast(Backbone, folded(backbone))
    builder = Builder(TABLE, backbone)
    x = builder.buffer("control", "control", backbone.input_width)
    features = builder.operand(builder.lower(backbone, Value(operand=x), "state"))
    return builder.program(features, position_limit=backbone.position_limit or -1)


def embedding(builder: Builder, embed: nn.Module) -> Table:
    """What symbols look up."""
    if type(embed) is OneHot:
        return Table(len(embed.units))
    if type(embed) is nn.Embedding and embed.max_norm is None:
        return Table(embed.num_embeddings, embed.weight)
    if type(embed) is Levels and (embed.table is None or embed.table.max_norm is None):
        parts = [embed.values] if embed.table is None else [embed.values, embed.table.weight]
        return Table(len(embed.values), builder.named(torch.cat(parts, 1), "levels"))
    raise NotLowered(type(embed).__name__)


def field_tables(builder: Builder, fields: FieldEmbedding) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The tables of what each field adds to the state, and the buffers to which it is added."""
    if type(fields) is not FieldEmbedding or not builder.shifts:
        raise NotLowered(f"{type(fields).__name__} before {len(builder.shifts)} conditioned parts")
    matrices, shifts = zip(*builder.shifts, strict=True)
    matrix, names = np.concatenate(matrices), []
    tables: Any = fields.tables
    for number, table in enumerate(tables):
        names.append(f"fields.{number}")
        builder.weights[names[-1]] = np.ascontiguousarray(exact(table.weight) @ matrix.T, np.float32)
    return tuple(names), shifts

"""Next-symbol prediction: embedding, backbone, head over symbols."""

import torch
from torch import nn

from unrolled.core import state as states
from unrolled.core.contracts import Batch
from unrolled.core.draws import Draws
from unrolled.core.protocol import Backbone, Context, advance
from unrolled.core.shapes import Bool, Float, Int, Tensor
from unrolled.core.state import State
from unrolled.heads.symbols import SymbolHead


class OneHot(nn.Module):
    """Symbols as unit vectors."""

    units: Float[Tensor, "v v"]

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("units", torch.eye(size), persistent=False)

    def forward(self, symbols: Int[Tensor, "*b"]) -> Float[Tensor, "*b i"]:
        """The unit vector of each symbol."""
        return self.units[symbols]


class FieldEmbedding(nn.Module):
    """One summary vector per row from the ids of its fields; id 0 is "unspecified" and adds nothing.

    In training each field is dropped with probability `dropout`, so that generation works with any subset of them.
    """

    def __init__(self, sizes: tuple[int, ...], width: int, dropout: float = 0.1) -> None:
        super().__init__()
        tables = [nn.Embedding(size, width, padding_idx=0) for size in sizes]
        for table in tables:
            table.weight.data *= 0.1  # louder fields would drown the symbols at the beginning
        self.tables = nn.ModuleList(tables)
        self.dropout = dropout

    def forward(self, fields: Int[Tensor, "b n"]) -> Float[Tensor, "b d"]:
        """The sum of the fields' vectors."""
        if self.training:
            fields = fields.masked_fill(torch.rand(fields.shape, device=fields.device) < self.dropout, 0)
        return torch.stack([table(ids) for table, ids in zip(self.tables, fields.unbind(1), strict=True)]).sum(0)


class SequenceModel(nn.Module):
    """A model of sequences of symbols 0..size-1, of which `begin` starts and `end` ends a record.

    `fields`, where there are any, turns the ids of a row's fields into the context vector that `backbone` reads.
    """

    def __init__(
        self,
        embed: nn.Module,
        backbone: Backbone,
        head: SymbolHead,
        *,
        begin: int,
        end: int,
        fields: FieldEmbedding | None = None,
    ) -> None:
        super().__init__()
        self.embed, self.backbone, self.head, self.fields = embed, backbone, head, fields
        self.begin, self.end = begin, end

    @property
    def position_limit(self) -> int | None:
        """Symbols that one state can take; None where there is no limit."""
        return self.backbone.position_limit

    def context(self, fields: Int[Tensor, "b n"]) -> Context:
        """The fixed conditioning of rows with these field ids."""
        return Context(vector=self.fields(fields) if self.fields is not None else None)

    def init_state(self, batch: int, context: Context | None = None) -> State:
        """The state before the first symbol."""
        return self.backbone.init_state(batch, context)

    def condition(self, state: State, context: Context) -> State:
        """`state` steered to another context."""
        return self.backbone.condition(state, context)

    def enter(self, batch: Batch, state: State | None) -> State:
        """The state in which a batch begins: anew at restarted rows, elsewhere as given but for its context."""
        context = self.context(batch.fields)
        fresh = self.backbone.init_state(len(batch.restart), context)
        if state is None:
            return fresh
        return states.where(batch.restart, fresh, self.backbone.condition(state, context))

    def forward(
        self, batch: Batch, state: State | None, draws: Draws | None = None
    ) -> tuple[Tensor, State, dict[str, Tensor]]:
        """Loss in nats per symbol, the state to carry, and metrics."""
        entered = self.enter(batch, state)
        features, last = self.backbone(self.embed(batch.inputs), entered)
        loss = self.head.loss(features, batch.inputs, batch.targets, batch.mask)
        return loss, states.cast_like(last, entered), {"nats": loss.detach(), "symbols": batch.mask.sum()}

    def losses(self, batch: Batch, state: State | None) -> tuple[Float[Tensor, "b t"], State]:
        """Nats of each target, and the state to carry."""
        features, state = self.backbone.parallel(self.embed(batch.inputs), self.enter(batch, state))
        return self.head.losses(features, batch.targets), state

    def read(self, symbols: Int[Tensor, "b t"], lengths: Int[Tensor, " b"], state: State) -> State:
        """The state of each row after its own first `lengths` symbols."""
        return advance(self.backbone, self.embed(symbols), lengths, state)

    def step(
        self, symbol: Int[Tensor, " b"], control: Tensor | None, state: State
    ) -> tuple[Float[Tensor, "b o"], State]:
        """Features after one more symbol; text takes no per-step control."""
        return self.backbone.step(self.embed(symbol), state)

    def done(self, symbol: Int[Tensor, " b"], state: State) -> Bool[Tensor, " b"]:
        """The rows whose record ends with `symbol`."""
        return symbol == self.end

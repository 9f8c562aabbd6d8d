"""Predictive text: what may follow while somebody types.

What the model knows after a text is a value, kept for each text on the way: typing is one step, and going back is
taking an earlier value again.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch

from unrolled.codecs.text import TextCodec
from unrolled.core import state as states
from unrolled.core.protocol import Context
from unrolled.core.shapes import Bool, Float, Tensor
from unrolled.core.state import State
from unrolled.generation.reading import read_windows
from unrolled.generation.window import window_start

KEPT = 256  # values kept on the way to the present text
LEAP = 32  # symbols from which reading anew is quicker than stepping
BEAM, LONGEST = 8, 24  # width and length in symbols of the search for words
INNER_BYTES = [bytes([byte]) for byte in range(0x80, 0xC0)]  # of a character of several bytes
UNIT = re.compile(r"(?: ?[^\W_]+(?:['’][^\W_]*)*| )\Z")


class Knowledge(NamedTuple):
    """What the model knows after `count` symbols: its state, and the log probability of each next symbol."""

    count: int
    state: State
    nats: Float[Tensor, "1 v"]


class Suggestion(NamedTuple):
    """Text that may come next, with its probability; empty text with `ended` is the end of the record."""

    text: str
    probability: float
    ended: bool = False


class Completer:
    """Suggests what follows a text.

    `start` gives the symbols of a text, begin symbol and all; `context` has one row; `forbidden` are never suggested.
    """

    def __init__(
        self,
        model: Any,
        codec: TextCodec,
        start: Callable[[str], Sequence[int]],
        *,
        context: Context | None = None,
        forbidden: Sequence[int] = (),
    ) -> None:
        self.model, self.codec, self.start, self.context = model, codec, start, context
        self.device = next(model.parameters()).device
        self.never = torch.tensor(sorted({model.begin, *forbidden}))
        self.symbols: list[int] = []
        self.path: dict[int, Knowledge] = {}
        decoded = [piece.decode("utf-8", "replace") for piece in codec.pieces]
        self.inner = torch.tensor([piece[:1] in INNER_BYTES for piece in codec.pieces])
        self.in_word = torch.tensor([bool(text) and all(map(is_letter, text)) for text in decoded])
        self.after_word = torch.tensor([not text or not is_letter(text[0]) for text in decoded])

    @torch.inference_mode()
    def next(self, text: str, count: int) -> list[Suggestion]:
        """The most probable next symbols, given what of a word or token has been typed already."""
        known, typed = self.known(text)
        probability = restricted(known.nats, self.begins(typed))[0].exp()
        best = probability.sort(descending=True, stable=True).indices[:count].tolist()
        return [
            Suggestion(self.whole(known, symbol, typed), float(probability[symbol]), symbol == self.model.end)
            for symbol in best
            if probability[symbol] > 0
        ]

    @torch.inference_mode()
    def words(self, text: str, count: int) -> list[Suggestion]:
        """How the present word, or after a space the next one, most probably ends: its rest, and P(exactly that rest).

        A beam over states; the word ends with whatever is no letter, the end of the record included.
        """
        known, typed = self.known(text)
        nats = restricted(known.nats, self.begins(typed))
        live, rests, state = torch.zeros(1, dtype=torch.float64), [b""], known.state
        usable, cut = self.continues(typed), len(typed.encode("utf-8", "replace"))
        found = [] if typed or not text or not is_letter(text[-1]) else [(b"", self.ending(nats)[0])]
        for _ in range(min(LONGEST, self.room(known))):
            totals = (live[:, None] + nats.masked_fill(~usable, -torch.inf)).flatten()
            best = totals.sort(descending=True, stable=True).indices[:BEAM]
            best = best[totals[best] > -torch.inf]
            if not len(best):
                break
            rows, symbols = best // nats.shape[1], best % nats.shape[1]
            rests = [rests[row] + self.codec.pieces[symbol][cut:] for row, symbol in zip(rows, symbols, strict=True)]
            live, usable, cut = totals[best], self.in_word, 0
            state, nats = self.step(symbols, states.take(state, rows.to(self.device)))
            found += zip(rests, live + self.ending(nats), strict=True)
            found = sorted(found, key=lambda pair: -float(pair[1]))[:count]
            if len(found) == count and found[-1][1] >= live.max():
                break
        return [Suggestion(rest.decode("utf-8", "replace"), float(total.exp())) for rest, total in found]

    def known(self, text: str) -> tuple[Knowledge, str]:
        """What is known before the word or token that is being typed, and what of it has been typed.

        Characters and bytes are whole when typed, so there the second is empty.
        """
        unit = None if self.codec.kind in ("characters", "bytes") else UNIT.search(text)
        typed = unit.group() if unit else ""
        if typed and not bool(self.begins(typed).any()):
            typed = ""
        return self.after(list(map(int, self.start(text[: len(text) - len(typed)])))), typed

    def after(self, symbols: list[int]) -> Knowledge:
        """What is known after `symbols`: from the last value on the way that still holds, or read anew."""
        symbols = symbols or [self.model.begin]
        common = 0
        for old, new in zip(self.symbols, symbols, strict=False):
            if old != new:
                break
            common += 1
        self.symbols = symbols
        self.path = {count: known for count, known in self.path.items() if count <= common}
        reached = max(self.path, default=0)
        if not reached or len(symbols) - reached > LEAP:
            reached = len(symbols)
            self.remember(reached, read_windows(self.model, [symbols], self.context))
        for count in range(reached + 1, len(symbols) + 1):
            limit = self.model.position_limit
            anew = window_start(count, limit) != window_start(count - 1, limit)
            state = read_windows(self.model, [symbols[:count]], self.context) if anew else self.path[count - 1].state
            self.remember(count, state)
        return self.path[len(symbols)]

    def remember(self, count: int, state: State) -> None:
        """Keep what is known after the `count`-th symbol; `state` is from before it."""
        state, nats = self.step(torch.tensor(self.symbols[count - 1 : count]), state)
        self.path[count] = Knowledge(count, state, nats)
        self.path.pop(count - KEPT, None)

    def step(self, symbols: Tensor, state: State) -> tuple[State, Float[Tensor, "b v"]]:
        """One symbol on: the state, and the log probabilities of the next symbols that are allowed."""
        features, state = self.model.step(symbols.to(self.device), None, state)
        logits = self.model.head.logits(features).cpu().double()
        return state, logits.index_fill(1, self.never, -torch.inf).log_softmax(1)

    def room(self, known: Knowledge) -> int:
        """Symbols that can follow before a table of positions ends."""
        limit = self.model.position_limit
        return LONGEST if limit is None else limit - known.count + window_start(known.count, limit)

    def begins(self, typed: str) -> Bool[Tensor, " v"]:
        """The symbols that begin with what has been typed of them."""
        if not typed:
            return torch.ones(len(self.codec.pieces), dtype=torch.bool)
        begin = typed.encode("utf-8", "replace")
        return torch.tensor([piece.startswith(begin) for piece in self.codec.pieces])

    def continues(self, typed: str) -> Bool[Tensor, " v"]:
        """The symbols that can go on with the word of which `typed` is there."""
        if not typed:
            return self.in_word
        begin = typed.encode("utf-8", "replace")
        rests = [piece[len(begin) :].decode("utf-8", "replace") for piece in self.codec.pieces]
        return self.begins(typed) & torch.tensor([all(map(is_letter, rest)) for rest in rests])

    def ending(self, nats: Float[Tensor, "b v"]) -> Float[Tensor, " b"]:
        """The log probability that the word is over."""
        return nats.masked_fill(~self.after_word, -torch.inf).logsumexp(1)

    def whole(self, known: Knowledge, symbol: int, typed: str) -> str:
        """The text of a next symbol beyond what is typed; half a character is made whole by its likeliest rest."""
        piece, state = self.codec.pieces[symbol][len(typed.encode("utf-8", "replace")) :], known.state
        for _ in range(min(3, self.room(known))):
            if "\ufffd" not in piece.decode("utf-8", "replace") or symbol == self.codec.unknown:
                break
            state, nats = self.step(torch.tensor([symbol]), state)
            symbol = int(nats.masked_fill(~self.inner, -torch.inf).argmax())
            piece += self.codec.pieces[symbol]
        return piece.decode("utf-8", "replace")


def restricted(nats: Float[Tensor, "1 v"], allowed: Bool[Tensor, " v"]) -> Float[Tensor, "1 v"]:
    """Log probabilities given that the symbol is among the allowed ones."""
    if bool(allowed.all()):
        return nats
    return nats.masked_fill(~allowed, -torch.inf).log_softmax(1)


def is_letter(character: str) -> bool:
    """Whether a character belongs to words; half a character is taken for a letter's."""
    return character.isalnum() or character in "'’\ufffd"

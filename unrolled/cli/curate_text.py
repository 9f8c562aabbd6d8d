"""The part of `curate` that is for texts."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unrolled.cli.curate_loop import KEYS
from unrolled.cli.terminal import is_terminal, one_line, printable, say

if TYPE_CHECKING:
    from unrolled.generation.curation import Candidate
    from unrolled.generation.novelty import Place


class TextChoice:
    """Texts to choose from; `note` hears what cannot be told of them."""

    keys = KEYS
    next_step = ": unrolled train {} --from RUN"

    def __init__(self, run: Any, request: Any, note: Callable[[str], None]) -> None:
        self.run, self.request, self.note = run, request, note

    def candidates(self, count: int) -> "list[Candidate]":
        """So many new ones."""
        from unrolled.api.curation import candidates

        return candidates(self.run, self.request, count, self.note)

    def best(self, count: int, by: Any, chosen: int) -> "list[Candidate]":
        """The best of so many new ones."""
        from unrolled.api.curation import best_candidates

        return best_candidates(self.run, self.request, count, by or "likelihood", chosen, self.note)

    def show(self, candidate: "Candidate", title: str) -> None:
        """A sample with its scores, the copied span marked where a terminal can."""
        news, text = candidate.novelty, printable(candidate.text)
        say(f"── {title + ' · ' if title else ''}sample {candidate.sample} · {candidate.likelihood:.2f} nats a symbol")
        if news is not None:
            copied = f", the longest span of {len(news.span)} characters {locate(news.place)}" if news.place else ""
            say(f"   {news.score:.0%} of its {news.n}-grams are new{copied}")
            span = printable(news.span)
            if news.place and is_terminal(sys.stdout):
                text = text.replace(span, f"\x1b[4m{span}\x1b[24m", 1)
            elif news.place:
                say(f"   copied: {one_line(news.span, 90)}")
        sys.stdout.write(f"\n{text}\n\n")
        sys.stdout.flush()

    def press(self, key: str, candidate: "Candidate", stopped: Callable[[], bool]) -> bool:
        """Texts have no keys of their own."""
        return False

    def facts(self, candidate: "Candidate") -> dict[str, Any]:
        """A sample with its scores as JSON."""
        from unrolled.api.curation import described

        scores = {} if candidate.novelty is None else described(candidate.novelty)
        return {name: value for name, value in asdict(candidate).items() if name != "novelty"} | scores

    def export(self, kept: "Sequence[Candidate]") -> str:
        """Records that training reads."""
        from unrolled.generation.curation import to_jsonl

        return to_jsonl(kept)


def locate(place: "Place") -> str:
    """A place in the training text in words."""
    name = Path(place.source).name
    if place.record is None:
        return f"begins at character {place.character:,} of {name}"
    return f"begins at character {place.character:,} of the record on line {place.record:,} of {name}"

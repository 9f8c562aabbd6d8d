"""A run that writes text. Free of torch until its weights are needed."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from unrolled.api.engines import EngineName
from unrolled.api.run import Request, Run, make_rules
from unrolled.codecs.text import TextCodec
from unrolled.core.errors import UsageError
from unrolled.engine.runtime import Precision
from unrolled.generation.text import Piece, Text, collect, gather, pieces
from unrolled.store.records import Sample

SPECIMEN = 160  # symbols that are shown while a model trains


@dataclass(frozen=True, kw_only=True)
class TextRequest(Request):
    """A text that goes on from `prompt` by at most `length` symbols."""

    prompt: str = ""
    length: int = 500

    @property
    def told(self) -> dict[str, Any]:
        """How symbols are drawn and how many, as samples tell it."""
        return {"length": self.length, **super().told}

    def each(self, count: int, prompts: Sequence[str] | None = None) -> list["TextRequest"]:
        """This request with each of `prompts`, or as it is where none are given, for `count` samples of each.

        Streams are numbered prompt by prompt: sample s of prompt p, both from 0, has stream `stream + p * count + s`.
        """
        asked = (self.prompt,) if prompts is None else prompts
        return [replace(self, prompt=prompt, stream=self.stream + p * count) for p, prompt in enumerate(asked)]


@dataclass
class TextRun(Run):
    """A run of a text system."""

    codec: TextCodec

    @cached_property
    def forbidden(self) -> tuple[int, ...]:
        """Symbols that are never drawn: the unknown one, and those that training text never held."""
        unknown = () if self.codec.unknown is None else (self.codec.unknown,)
        return unknown if self.is_records else (*unknown, self.codec.end)

    @property
    def stops(self) -> bool:
        """Whether a sample ends where a record would."""
        return self.is_records

    def start(self, prompt: str) -> list[int]:
        """The symbols that a prompt stands for; without any, a record begins, or a new line of a long text.

        Raises: DataError for a symbol that the model does not know.
        """
        symbols = self.codec.encode(prompt).tolist()
        if self.is_records:
            return [self.codec.begin, *symbols]
        return symbols or self.codec.encode(self.opening).tolist()

    @cached_property
    def opening(self) -> str:
        """What stands before the first character where there is no prompt: a new line if the model knows it."""
        return "\n" if not self.codec.unknown_symbols("\n") else self.codec.decode([0])

    def generate(self, prompt: str = "", **settings: Any) -> str:
        """The text of one sample, its prompt included; `settings` as for `samples`."""
        return self.samples(prompt, 1, **settings)[0]

    def samples(
        self,
        prompt: str | Sequence[str] = "",
        count: int = 1,
        *,
        length: int = 500,
        seed: int = 0,
        stream: int = 0,
        where: dict[str, str] | None = None,
        engine: EngineName = "auto",
        precision: Precision = "float32",
        threads: int = 1,
        **rules: Any,
    ) -> list[str]:
        """The texts of `count` samples of each prompt, made in one batch; each is what it would be alone.

        They come prompt by prompt; sample s of prompt p, both from 0, has stream `stream + p * count + s`.
        `where` chooses conditioning fields; `rules` are those of `generation.rules.Rules`, neutral by default.
        `precision` and `threads` are those of the native engine, which runs the weights that are in the run folder.
        The samples are written down in the run.
        Raises: UsageError for a setting, DataError for a symbol of a prompt, that cannot be used.
        """
        request = TextRequest(
            length=length, seed=seed, stream=stream, where=where or {}, rules=make_rules(rules),
            engine=engine, precision=precision, threads=threads,
        )  # fmt: skip
        prompts = [prompt] if isinstance(prompt, str) else prompt
        return [sample.text for sample in self.many(request, count, prompts=prompts)]

    def many(
        self,
        request: TextRequest,
        count: int,
        note: Callable[[str], None] | None = None,
        prompts: Sequence[str] | None = None,
    ) -> list[Sample]:
        """Samples as of `texts`, written down."""
        texts = iter(self.texts(request, count, note, prompts))
        asked = request.each(count, prompts)
        return self.record([self.sample(one, number, next(texts)) for one in asked for number in range(count)])

    def texts(
        self,
        request: TextRequest,
        count: int,
        note: Callable[[str], None] | None = None,
        prompts: Sequence[str] | None = None,
    ) -> list[Text]:
        """`count` samples of a request, or of it for each of `prompts`, in one batch, numbered as `each` says."""
        starts, limit = self.starts(request, count, prompts), self.engine(request).limit
        return collect(self.drawn(request, starts, request.length, note), self.codec, starts, request.length, limit)

    def keep(self, request: TextRequest, drawn: Sequence[Piece]) -> Sample:
        """Write down the one sample of a request that was drawn piece by piece."""
        (text,) = gather(drawn, [self.start(request.prompt)], self.engine(request).limit)
        return self.record([self.sample(request, 0, text)])[0]

    def stream(
        self, request: TextRequest, count: int = 1, note: Callable[[str], None] | None = None
    ) -> Iterator[Piece]:
        """Pieces of text as they come, for `count` samples side by side."""
        steps = self.drawn(request, self.starts(request, count), request.length, note)
        return pieces(steps, self.codec, count, request.length)

    def starts(self, request: TextRequest, count: int, prompts: Sequence[str] | None = None) -> list[list[int]]:
        """What each sample of a batch goes on from: `count` for each prompt, in order.

        Raises: UsageError for a count below 1, DataError for a symbol that the model does not know.
        """
        if count < 1:
            raise UsageError(f"samples is {count} and length {request.length}: at least 1 sample of length 0 or more")
        return [start for one in request.each(count, prompts) for start in [self.start(one.prompt)] * count]

    def specimen(self, seed: int, stream: int) -> str:
        """A short text of the model as it is."""
        request = TextRequest(length=SPECIMEN, seed=seed, stream=stream)
        return "".join(piece.text for piece in self.stream(request))

    def sample(self, request: TextRequest, number: int, text: Text) -> Sample:
        """The `number`-th sample of a request as it is written down."""
        return Sample(
            model_sha256=self.model_sha256,
            seed=request.seed,
            stream=request.stream + number,
            settings=request.told,
            engine=self.engine(request).name,
            prompt=request.prompt,
            text=request.prompt + text.text,
            symbols=len(text.symbols),
            where=request.where,
            scores={"log_likelihood": text.log_likelihood, "rereads": text.rereads},
        )

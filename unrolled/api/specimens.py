"""What a model makes while it trains, shown and judged."""

import time
from collections.abc import Callable

from unrolled.api.events import Event, Note, Sampled
from unrolled.api.job import Job
from unrolled.store.configs import RunConfig


class Specimens:
    """Shows pieces of the model of a job; `found` is what was found of the last one, "" where nothing was judged.

    `seconds` is what all of them took.
    """

    def __init__(self, job: Job, observe: Callable[[Event], None]) -> None:
        self.job, self.observe, self.found = job, observe, ""
        self.wrong = ""  # with the last one
        self.seconds = 0.0

    def show(self, step: int, config: RunConfig) -> None:
        """Tell what the model makes as it is, and what is wrong with that."""
        began, job = time.monotonic(), self.job
        assert job.folder is not None
        run = job.medium.run(job.folder, config, job.codec, job.fields)
        run.model = job.model.eval()
        piece = run.specimen(job.options.seed, step)
        self.observe(Sampled(step, piece))
        remark = job.medium.judge(run, job.encoded.train, piece)
        self.seconds += time.monotonic() - began
        if remark is None:
            return
        self.found = f"What it made at update {step:,} was judged: {remark.text}."
        if remark.wrong == self.wrong != "":
            self.observe(Note(f"step {step}: still {remark.text.partition(':')[0]}"))
        elif remark.wrong:
            self.observe(Note(f"step {step}: what the model makes is not right yet: {remark.text}"))
        self.wrong = remark.wrong

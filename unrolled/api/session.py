"""One training in its run folder: evaluates, keeps the best weights, saves checkpoints, keeps to its time budget."""

import math
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import torch

from unrolled.api.cards import card, conversions, next_commands, notes, plan_in_words
from unrolled.api.events import Evaluated, Event, Finished, Note, Progress, Started
from unrolled.api.job import Job
from unrolled.api.pace import Pace, fastest_threads, measure_update, revisions
from unrolled.api.specimens import Specimens
from unrolled.api.validation import Validation
from unrolled.api.weights import keep_program, load_weights
from unrolled.core.errors import RunError, TrainingError
from unrolled.store.configs import RunConfig
from unrolled.store.folders import MANIFEST
from unrolled.store.recorder import Recorder
from unrolled.store.records import Metric
from unrolled.training import progress as progresses
from unrolled.training.advice import advice
from unrolled.training.checkpoints import latest_checkpoint, pack_tensors, prune
from unrolled.training.distributed import ALONE, Group
from unrolled.training.evaluation import Score
from unrolled.training.loop import Update, train

EVALUATIONS = 12  # in one run, unless the recipe says how often
SHOW_SECONDS, WRITE_SECONDS = 0.2, 2.0  # between updates that are shown, and that are written down
SPECIMEN_SHARE = 0.1  # of a time budget, after the first one
WORTH_TELLING, TRIAL_SECONDS = 100, 0.3  # updates from which on their time is told, and how long it is measured
FIRST_CHECKPOINT = 0.08  # of a time budget: then the speed is known better than from the first measurement


class Session:
    """Trains one job; `interrupted` is asked between updates."""

    def __init__(
        self,
        job: Job,
        observe: Callable[[Event], None],
        began: float,
        interrupted: Callable[[], bool],
        group: Group = ALONE,
    ) -> None:
        assert job.folder is not None
        self.job, self.folder, self.group, self.interrupted = job, job.folder, group, interrupted
        self.observe = observe if group.is_first else lambda event: None
        self.specimens = Specimens(job, self.observe)
        self.recorder: Recorder | None = None
        minutes = job.options.minutes
        self.pace = Pace(None if minutes is None else minutes * 60, began)
        self.validation = Validation(job.encoded.validation, job.recipe, job.model.position_limit)
        self.bits = job.medium.bits(job.encoded, job.corpus)
        self.command: tuple[str, ...] = ()
        self.loss: float | None = None
        self.update_seconds = 0.0
        self.threads = job.options.threads or torch.get_num_threads()
        torch.set_num_threads(self.threads)

    def open(self, command: Sequence[str]) -> None:
        """Plan a new training and write down what it is; from here on the run can be used and resumed."""
        job, self.command = self.job, tuple(command)
        self.progress = progresses.begin(job.model, job.recipe)
        steps = job.recipe.steps
        if self.pace.seconds is not None:
            steps = self.plan(self.pace.seconds)
        elif job.options.epochs is not None:
            steps = max(1, round(job.options.epochs * job.sampler.steps_per_epoch))
        if self.pace.seconds is None and steps >= WORTH_TELLING:
            trial = measure_update(job.model, job.sampler, job.recipe, job.options.seed, self.group, TRIAL_SECONDS)
            self.update_seconds = self.group.agreed(trial)
        cadence = job.recipe.evaluate_every or max(1, math.ceil(steps / EVALUATIONS))
        probe = self.validation.probe
        job.recipe = replace(job.recipe, steps=steps, evaluate_every=cadence, evaluate_symbols=probe)
        self.progress.steps = steps
        self.save()  # before there is a config.json, without which a folder is no run: a run can always be resumed
        self.publish(self.score())

    def plan(self, budget: float) -> int:
        """Updates that fit into a budget of seconds, from what is measured now."""
        job, validation = self.job, self.validation
        self.group.by_first(lambda: validation.fit(job.model, budget, EVALUATIONS))
        self.pace.closing += validation.seconds(validation.final)
        self.threads, self.update_seconds = fastest_threads(
            job.model, job.sampler, job.recipe, job.options.seed, self.group, job.options.threads
        )
        overhead = (EVALUATIONS + 1) * validation.seconds(validation.probe)
        overhead += min(SPECIMEN_SHARE * budget, EVALUATIONS * job.medium.specimen_seconds)
        return int(self.group.agreed(self.pace.updates(self.update_seconds, overhead)))

    def reopen(self, config: RunConfig) -> bool:
        """Go on where the newest good checkpoint is; false if there is nothing left to do."""
        checkpoint, notes = latest_checkpoint(self.folder.checkpoints)
        for note in notes:
            self.observe(Note(note))
        if checkpoint is None:
            raise RunError(f"run {self.folder.name} has no good checkpoint: train it anew under another --name")
        job = self.job
        self.progress = progresses.resume(checkpoint, job.model, job.recipe, job.sampler.batch(0), self.group)
        extra = checkpoint.scalars.get("extra", {})
        self.pace.earlier, self.pace.revisions = float(extra["elapsed"]), list(extra["revisions"])
        self.command = config.command
        plan = config.training["plan"]
        self.threads, self.update_seconds = int(plan["threads"]), float(plan["update_seconds"])
        torch.set_num_threads(self.threads)  # other sums would be other weights
        return self.progress.step < self.progress.steps and not extra.get("over", False)

    def restore(self) -> bool:
        """Publish the checkpoint's weights if the run's own files are damaged; whether they were."""
        damage = self.group.by_first(self.damage)
        if damage:
            self.publish(self.score(self.validation.final))
            self.observe(Note(f"{damage}: replaced by what update {self.progress.step} had"))
        return bool(damage)

    def damage(self) -> str:
        """What is wrong with the published files, "" if nothing is or there are none yet."""
        try:
            if (self.folder.path / MANIFEST).exists():
                self.folder.verify()
        except RunError as problem:
            return str(problem).rpartition(": ")[0]
        return ""

    def config(self) -> RunConfig:
        """What config.json holds by now."""
        plan = {
            "steps": self.progress.steps,
            "revisions": self.pace.revisions,
            "update_seconds": self.update_seconds,
            "threads": self.threads,
        }
        return self.job.config(self.command, {"plan": plan})

    def run(self) -> None:
        """Train to the end of the budget, of patience or of the user's, and leave the best weights behind."""
        self.announce()
        with ExitStack() as stack:
            if self.group.is_first:
                recorder = Recorder(self.folder, self.job.options.runs, lambda text: self.observe(Note(text)))
                self.recorder = stack.enter_context(recorder)
            self.write("state", state="training")
            try:
                state = self.updates()
            except TrainingError:
                self.write("state", state="failed")
                raise
            self.finish(state)

    def updates(self) -> str:
        """Make updates; the state in which training ends."""
        job, progress = self.job, self.progress
        began = saved = shown = written = time.monotonic()
        first, judging = progress.step, self.validation.score if self.validation.is_possible else None
        revised = revisions(job.options.revise)
        wait = min(job.options.checkpoint_seconds, FIRST_CHECKPOINT * (self.pace.seconds or math.inf))
        for update in train(
            job.model, job.sampler, job.recipe, progress, seed=job.options.seed, evaluate=judging, group=self.group
        ):
            self.loss = update.loss if self.loss is None else self.loss + 0.05 * (update.loss - self.loss)
            now = time.monotonic()
            if now - shown >= SHOW_SECONDS:
                self.show(update, (now - began) / (progress.step - first))
                shown = now
            if now - written >= WRITE_SECONDS:
                self.write("train", nats=self.loss, norm=update.norm, rate=update.rate)
                written = now
            if update.score is not None:
                self.judged(update.score, update.improved)
            if job.recipe.sample_every and update.step % job.recipe.sample_every == 0:
                self.show_specimen()
            progress.steps = revised.get(update.step, progress.steps)
            save_now, stop_now = self.agreed(now - saved >= wait, self.interrupted())
            if save_now:
                self.replan((now - began) / (progress.step - first))
                self.save()
                saved, wait = time.monotonic(), job.options.checkpoint_seconds
            if stop_now:
                return "interrupted"
        return "finished" if progress.step >= progress.steps else "stopped early"

    def agreed(self, *decisions: bool) -> list[bool]:
        """What the first process decides."""
        if self.group.world == 1:
            return list(decisions)
        mine = [float(decision and self.group.is_first) for decision in decisions]
        return [bool(found) for found in self.group.total(mine)]

    def score(self, predictions: int | None = None) -> Score:
        """The validation loss, as the first process finds it."""
        return Score(*self.group.by_first(lambda: self.validation.score(self.job.model, predictions)))

    def show(self, update: Update, seconds: float) -> None:
        """Tell where training is; one update has taken `seconds` on average, evaluations included."""
        assert self.loss is not None
        left = (self.progress.steps - update.step) * seconds
        fraction = update.step / self.progress.steps
        speed = update.symbols / seconds
        self.observe(Progress(update.step, fraction, self.loss, self.loss * self.bits, speed, left))

    def judged(self, score: Score, improved: bool) -> None:
        """Tell and write down an evaluation; the best weights become the run's."""
        step = self.progress.step
        if not self.group.is_first:
            return
        if not math.isfinite(score.nats):
            good = self.progress.saved
            raise TrainingError(
                f"update {step}: validation loss {score.nats}; last good checkpoint: {good}; try a lower learning rate"
            )
        self.write("validation", nats=score.nats, stderr=score.stderr, protocol=score.protocol)
        self.observe(Evaluated(step, score.nats, score.nats * self.bits, improved))
        if improved:
            self.publish(score)
        if self.job.recipe.sample_every == 0:
            self.show_specimen()

    def show_specimen(self) -> None:
        """Tell what the model writes by now, if more is to come and its system can write."""
        more = self.progress.step < self.progress.steps and "generate" in self.job.system.commands
        too_much = self.pace.seconds and self.specimens.seconds > SPECIMEN_SHARE * self.pace.elapsed()
        if self.group.is_first and more and not too_much:
            self.specimens.show(self.progress.step, self.config())

    def replan(self, seconds: float) -> None:
        """Change the number of updates if the time budget would be missed; `seconds` as measured so far."""
        before, step = self.progress.steps, self.progress.step
        steps = int(self.group.agreed(self.pace.revise(step, before, seconds)))
        if steps != before:
            self.progress.steps = steps
            if self.group.is_first:
                self.folder.write_config(self.config())
            self.observe(Note(f"this machine's speed has changed: {steps} updates in all instead of {before}"))

    def save(self, over: bool = False) -> None:
        """Make a checkpoint, and drop all but the newest two; `over` says that nothing is left to do."""
        extra = {"elapsed": self.pace.elapsed(), "revisions": self.pace.revisions, "over": over}
        progresses.save(self.folder.checkpoints, self.job.model, self.progress, extra, group=self.group)
        if self.group.is_first:
            prune(self.folder.checkpoints)

    def publish(self, score: Score) -> None:
        """Make the present weights those of the run."""
        if not self.group.is_first:
            return
        content = pack_tensors(dict(self.job.model.state_dict()))
        config = self.config()
        text = card(self.folder.name, config, score, self.job.encoded, self.bits, self.job.medium, self.specimens.found)
        self.folder.publish(lambda path: path.write_bytes(content), config, self.job.codec.to_json(), text)

    def announce(self) -> None:
        """Tell what is about to be trained."""
        job = self.job
        plan = plan_in_words(job, self.progress.steps, self.progress.step, self.update_seconds)
        self.observe(Started(str(self.folder.path), job.system.name, plan, job.medium.unit))
        lines = notes(job.encoded, job.fields.names, is_continued=job.parent is not None)
        for line in (*conversions(job.corpus.facts()), *lines, job.medium.to_beat(job.encoded, job.codec)):
            if line:
                self.observe(Note(line))

    def finish(self, state: str) -> None:
        """Save where training is, score the best weights, and tell what to do next."""
        self.save(over=state != "interrupted")
        score = None
        if state != "interrupted":
            if self.validation.is_possible:  # else none were found better than others, and the last ones are the run's
                self.group.by_first(lambda: load_weights(self.job.model, self.folder.model))
            score = self.score(self.validation.final)
            self.publish(score)
            writes = self.group.is_first and "generate" in self.job.system.commands
            if writes and (problem := keep_program(self.job.model, self.folder)):
                self.observe(Note(problem))
        nats = score.nats if score and math.isfinite(score.nats) else None
        self.write("state", state=state, nats=nats, protocol=self.validation.protocol)
        predictions = min(self.validation.probe, self.validation.size)
        if self.progress.evaluations or not self.validation.is_possible:
            for line in advice(self.progress.evaluations, self.loss, predictions=predictions):
                self.observe(Note(line))
        self.observe(
            Finished(
                str(self.folder.path), state, self.progress.step, self.pace.elapsed(), nats,
                None if nats is None else nats * self.bits, next_commands(self.folder, self.config(), state),
            )
        )  # fmt: skip

    def write(self, kind: str, **values: Any) -> None:
        """Write a metric down; numbers that are not finite become null."""
        if self.recorder is None:
            return
        finite = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values.items()}
        self.recorder.metric(Metric(self.progress.step, kind, finite))

"""What to do next, in plain words, from how the losses went."""

import math
from collections.abc import Sequence

RISES = 3  # evaluations above the best, one after another, that are no accident
FALLING = 0.02  # nats between the last evaluations that more training is worth
APART = 0.25  # share of the validation loss by which the training loss may lie below it
FEW = 20_000  # symbols of validation text below which scores are rough


def advice(
    evaluations: Sequence[tuple[int, float, float]], training_nats: float | None, *, predictions: int | None = None
) -> list[str]:
    """Lines of advice; `evaluations` are (step, nats, standard error) in order.

    `training_nats` is the smoothed training loss at the end, `predictions` how many one evaluation rests on.
    """
    scores = [(step, nats) for step, nats, _ in evaluations if math.isfinite(nats)]
    if not scores:
        return ["nothing was held out, so nobody knows what this model is worth on new text: add text"]
    last = scores[-1][1]
    best_step, best = min(scores, key=lambda score: score[1])
    stale = sum(step > best_step for step, _ in scores)
    lines = []
    if stale >= RISES:
        lines.append(
            f"validation has not improved for {stale} evaluations (best {best:.3f} nats at update {best_step}, "
            f"then {last:.3f}): more data or more dropout helps, longer training does not"
        )
    elif training_nats is not None and training_nats < (1 - APART) * best:
        lines.append(
            f"training loss {training_nats:.3f} is far under validation loss {best:.3f}: "
            "the model learns the text by heart; more data, more dropout or a smaller model helps"
        )
    elif len(scores) > 1 and stale == 0 and scores[-2][1] - last > FALLING:
        lines.append(f"validation was still falling ({scores[-2][1]:.3f} to {last:.3f} nats): train longer")
    elif training_nats is not None and training_nats > best and stale == 0:
        lines.append("training loss is not below validation loss: a larger model or less dropout may learn more")
    if predictions is not None and predictions < FEW:
        error = evaluations[-1][2]
        margin = f", give or take {error:.3f}" if math.isfinite(error) else ""
        lines.append(f"validation rests on {predictions} symbols only{margin}: compare runs with care")
    return lines

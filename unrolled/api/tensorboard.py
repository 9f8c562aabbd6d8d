"""Training events as TensorBoard scalars (extra `tensorboard`)."""

from pathlib import Path
from typing import Any

from unrolled.api.events import Evaluated, Event, Finished, Progress, Started


class TensorBoard:
    """An observer that writes `runs/NAME/tensorboard/`.

    Raises: ModuleNotFoundError where tensorboard is not installed.
    """

    def __init__(self) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.make: Any = SummaryWriter
        self.writer: Any = None

    def __call__(self, event: Event) -> None:
        """Write one event."""
        match event:
            case Started():
                self.writer = self.make(str(Path(event.run) / "tensorboard"))
            case Progress():
                self.writer.add_scalar("train/nats", event.nats, event.step)
                self.writer.add_scalar("train/symbols_per_second", event.speed, event.step)
            case Evaluated():
                self.writer.add_scalar("validation/nats", event.nats, event.step)
                self.writer.add_scalar("validation/bits_per_character", event.bits, event.step)
            case Finished():
                self.writer.close()
            case _:
                pass

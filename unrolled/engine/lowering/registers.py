"""Registers whose last use has passed serve again, so that the memory of a wide model stays in cache."""

from collections.abc import Mapping, Sequence

from unrolled.engine.operations import KINDS, Buffer, Operand, Operation


def operands(operation: Operation) -> tuple[Operand, ...]:
    """Output and inputs."""
    return (operation.output, *operation.inputs)


def ends(operation: Operation) -> bool:
    """Whether the output may take the place of any input that is not read again."""
    whole = all(operand[1:] == (0, operation.output.width) for operand in operands(operation))
    return KINDS[operation.kind].in_place and whole


def reuse(
    buffers: Mapping[str, Buffer], step: Sequence[Operation], output: Operand
) -> tuple[dict[str, Buffer], tuple[Operation, ...], Operand]:
    """Buffers, operations and output of a step with as few registers as a scan from front to back finds.

    Apart from operations in place, a register serves again only after the operation that reads it last.
    """
    last = {operand.buffer: number for number, operation in enumerate(step) for operand in operands(operation)}
    last[output.buffer] = len(step)
    found = {name: buffer for name, buffer in buffers.items() if buffer.role != "register"}
    places: dict[str, str] = {name: name for name in found}
    free: list[str] = []
    after = []

    def moved(operand: Operand) -> Operand:
        return operand._replace(buffer=places[operand.buffer])

    for number, operation in enumerate(step):
        names = {operand.buffer for operand in operands(operation) if buffers[operand.buffer].role == "register"}
        done = [places[name] for name in sorted(names) if last[name] == number and name in places]
        if ends(operation):
            free += done
        if (name := operation.output.buffer) not in places:
            places[name] = place(buffers[name], found, free)
        if not ends(operation):
            free += done
        after.append(operation._replace(output=moved(operation.output), inputs=tuple(map(moved, operation.inputs))))
    return found, tuple(after), moved(output)


def place(register: Buffer, found: dict[str, Buffer], free: list[str]) -> str:
    """The smallest free register that is wide enough, else a new one."""
    fitting = [name for name in free if found[name].width >= register.width]
    if fitting:
        chosen = min(fitting, key=lambda name: found[name].width)
        free.remove(chosen)
        return chosen
    name = f"register.{sum(buffer.role == 'register' for buffer in found.values())}"
    found[name] = register
    return name

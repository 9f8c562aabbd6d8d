"""AdamW for everything, or Muon for the hidden matrices and AdamW for the rest, behind one interface.

Muon source: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/. A hidden matrix is a parameter of
`model.backbone` that has two axes, belongs to no `nn.Embedding` and has both sides at least `SMALLEST` long. So the
matrix that reads one-hot symbols is one, and the head, embeddings, learned positions, norms and biases are not.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from unrolled.core.errors import RunError
from unrolled.core.shapes import Float, Tensor
from unrolled.training.recipe import Recipe

SMALLEST = 8
ITERATIONS = 3  # on a matrix whose largest singular value is closely bounded; without that they are 5
COEFFICIENTS = 3.4445, -4.7750, 2.0315  # of the first, third and fifth power, from the source


def hidden_matrices(model: nn.Module) -> Iterator[str]:
    """The names of the hidden matrices of a model."""
    backbone = getattr(model, "backbone", None)
    if not isinstance(backbone, nn.Module):
        return
    for path, module in backbone.named_modules(prefix="backbone"):
        for name, parameter in module.named_parameters(recurse=False):
            is_matrix = parameter.ndim == 2 and min(parameter.shape) >= SMALLEST
            if is_matrix and parameter.requires_grad and not isinstance(module, nn.Embedding):
                yield f"{path}.{name}"


def orthogonalise(matrix: Float[Tensor, "o i"]) -> Float[Tensor, "o i"]:
    """The matrix with its singular values, but for the smallest, moved to about 1 (0.6 to 1.25).

    The iterations are made on the Gram matrix of the shorter side, and their product is applied to the matrix once, at
    the end: where four gates lie one above the other that is several times cheaper than iterating on the matrix itself.
    """
    if matrix.shape[0] < matrix.shape[1]:
        return orthogonalise(matrix.mT).mT
    gram = matrix.mT @ matrix
    size = gram.norm().clamp(min=1e-30)  # not below the square of the largest singular value
    gram = gram / size
    product = factor = polynomial(gram)
    for _ in range(ITERATIONS - 1):
        gram = factor @ gram @ factor
        factor = polynomial(gram)
        product = product @ factor
    return matrix @ (product / size.sqrt())


def polynomial(gram: Float[Tensor, "i i"]) -> Float[Tensor, "i i"]:
    """What one Newton-Schulz iteration multiplies a matrix by, given its Gram matrix."""
    first, third, fifth = COEFFICIENTS
    factor = torch.addmm(gram, gram, gram, beta=third, alpha=fifth)
    factor.diagonal().add_(first)
    return factor


class Muon(torch.optim.Optimizer):
    """Momentum whose update is orthogonalised; each matrix is changed in every `every`-th step, by so much more."""

    def __init__(self, matrices: list[nn.Parameter], *, rate: float, weight_decay: float, every: int) -> None:
        super().__init__(matrices, {"lr": rate, "weight_decay": weight_decay, "momentum": 0.95, "every": every})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """One step of every matrix that has a gradient; their turns are spread evenly over the steps."""
        for group in self.param_groups:
            for turn, matrix in enumerate(group["params"]):
                if matrix.grad is not None:
                    self.update(matrix, turn, group)

    def update(self, matrix: Tensor, turn: int, group: dict[str, Any]) -> None:
        """One step of one matrix."""
        state, every, gradient = self.state[matrix], group["every"], matrix.grad
        assert gradient is not None
        if not state:
            state["momentum"], state["step"] = torch.zeros_like(matrix), torch.zeros((), dtype=torch.int64)
        average = state["momentum"].lerp_(gradient, 1 - group["momentum"])
        state["step"] += 1
        if (int(state["step"]) + turn) % every:
            return
        ahead = gradient.lerp(average, group["momentum"])  # Nesterov
        scale = max(1.0, matrix.shape[0] / matrix.shape[1]) ** 0.5  # the same size of update for every shape
        matrix.mul_(1 - every * group["lr"] * group["weight_decay"])
        matrix.add_(orthogonalise(ahead), alpha=-every * group["lr"] * scale)


class Optimiser:
    """One or more torch optimisers stepped together, whose state is a flat dictionary of named tensors."""

    def __init__(self, parts: list[torch.optim.Optimizer], names: dict[str, nn.Parameter]) -> None:
        self.parts, self.names = parts, names
        self.peaks = [[group["lr"] for group in part.param_groups] for part in parts]

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for part in self.parts:
            part.zero_grad(set_to_none=True)

    def step(self, multiplier: float = 1.0) -> None:
        """One update with the peak learning rates times `multiplier`."""
        for part, peaks in zip(self.parts, self.peaks, strict=True):
            for group, peak in zip(part.param_groups, peaks, strict=True):
                group["lr"] = peak * multiplier
            part.step()

    def tensors(self) -> dict[str, Tensor]:
        """The state, named by parameter and kind; the tensors are the optimiser's own, not copies."""
        return {
            f"{name}.{kind}": value
            for name, parameter in self.names.items()
            for part in self.parts
            for kind, value in part.state.get(parameter, {}).items()
        }

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Take over a state that `tensors` gave.

        Raises: RunError if a tensor belongs to no parameter or has another shape.
        """
        owners = {id(p): (part, group) for part in self.parts for group in part.param_groups for p in group["params"]}
        for key, value in tensors.items():
            name, _, kind = key.rpartition(".")
            parameter = self.names.get(name)
            if parameter is None or (kind != "step" and value.shape != parameter.shape):
                raise RunError(f"optimiser state {key} of shape {tuple(value.shape)} fits no parameter of this model")
            part, group = owners[id(parameter)]
            # a count of steps stays on the CPU, unless a fused update reads it on the device
            beside = kind != "step" or group.get("fused")
            part.state[parameter][kind] = value.to(parameter.device if beside else "cpu", copy=True)


def adamw(parameters: list[nn.Parameter], recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW that decays tensors with two axes or more (embeddings included) and leaves biases and norms alone."""
    decayed, plain = [p for p in parameters if p.ndim >= 2], [p for p in parameters if p.ndim < 2]
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    groups = [group for group in groups if group["params"]]
    fused = all(p.device.type in ("cpu", "cuda") and p.dtype.is_floating_point for p in parameters)
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=recipe.betas, fused=fused)


def optimiser(model: nn.Module, recipe: Recipe) -> Optimiser:
    """The optimiser that `recipe` asks for, over the parameters of `model` that want a gradient."""
    names = {name: p for name, p in model.named_parameters() if p.requires_grad}
    hidden = set(hidden_matrices(model)) if recipe.optimiser == "muon" else set()
    matrices = [p for name, p in names.items() if name in hidden]
    rest = [p for name, p in names.items() if name not in hidden]
    parts: list[torch.optim.Optimizer] = []
    if matrices:
        decay, every = recipe.weight_decay, recipe.matrix_every
        parts.append(Muon(matrices, rate=recipe.matrix_rate, weight_decay=decay, every=every))
    if rest:
        parts.append(adamw(rest, recipe))
    return Optimiser(parts, names)

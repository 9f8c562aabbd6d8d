"""AdamW for everything, or Muon for the hidden matrices and AdamW for the rest, behind one interface.

Muon source: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/. A hidden matrix is a parameter of
`model.backbone` that is a matrix, belongs to no embedding, and whose sides are both at least `SMALLEST`. Matrices that
hold several gates one above the other (the recurrent layers of torch) are orthogonalised gate by gate.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from unrolled.core.errors import RunError
from unrolled.core.shapes import Float, Tensor
from unrolled.training.recipe import Recipe

SMALLEST = 32
GATES = {nn.LSTM: 4, nn.LSTMCell: 4, nn.GRU: 3, nn.GRUCell: 3}  # matrices stacked in one parameter


def hidden_matrices(model: nn.Module) -> dict[str, int]:
    """The names of the hidden matrices of a model, each with the number of gates stacked in it."""
    found = {}
    backbone = getattr(model, "backbone", None)
    for path, module in backbone.named_modules(prefix="backbone") if backbone is not None else ():
        if isinstance(module, nn.Embedding):
            continue
        gates = GATES.get(type(module), getattr(module, "gates", 1))
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.ndim != 2 or not parameter.requires_grad:
                continue
            if min(parameter.shape[0] // gates, parameter.shape[1]) >= SMALLEST:
                found[f"{path}.{name}"] = gates
    return found


def orthogonalise(matrices: Float[Tensor, "n o i"], steps: int = 5) -> Float[Tensor, "n o i"]:
    """Each matrix with its singular values moved to about 1 (0.7 to 1.2), by Newton-Schulz iterations."""
    wide = matrices.shape[1] <= matrices.shape[2]
    x = matrices if wide else matrices.mT
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=-4.7750, alpha=2.0315), x, beta=3.4445)
    return x if wide else x.mT


class Muon(torch.optim.Optimizer):
    """Momentum whose update is orthogonalised; each group holds matrices with the same number of `gates`."""

    def __init__(self, groups: Iterable[dict[str, Any]], *, rate: float, weight_decay: float) -> None:
        super().__init__(groups, {"lr": rate, "weight_decay": weight_decay, "momentum": 0.95})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """One update of every matrix that has a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self.update(parameter, group)

    def update(self, parameter: Tensor, group: dict[str, Any]) -> None:
        """One update of one matrix; the scale keeps its size the same for every shape."""
        state = self.state[parameter]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(parameter)
        average = state["momentum"].lerp_(parameter.grad, 1 - group["momentum"])
        ahead = parameter.grad.lerp(average, group["momentum"])  # Nesterov
        gates = ahead.unflatten(0, (group["gates"], -1))
        scale = max(1.0, gates.shape[1] / gates.shape[2]) ** 0.5
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        parameter.add_(orthogonalise(gates).flatten(0, 1), alpha=-group["lr"] * scale)


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
        owner = {id(p): part for part in self.parts for group in part.param_groups for p in group["params"]}
        states: dict[str, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            name, _, kind = key.rpartition(".")
            parameter = self.names.get(name)
            if parameter is None or (kind != "step" and value.shape != parameter.shape):
                raise RunError(f"optimiser state {key} of shape {tuple(value.shape)} fits no parameter of this model")
            # a fused step counter lives beside its parameter
            states.setdefault(name, {})[kind] = value.to(parameter.device, copy=True)
        for name, state in states.items():
            owner[id(self.names[name])].state[self.names[name]] = state


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
    matrices = hidden_matrices(model) if recipe.optimiser == "muon" else {}
    rest = [p for name, p in names.items() if name not in matrices]
    parts: list[torch.optim.Optimizer] = []
    if matrices:
        groups = [
            {"params": [names[name] for name, count in matrices.items() if count == gates], "gates": gates}
            for gates in sorted(set(matrices.values()))
        ]
        parts.append(Muon(groups, rate=recipe.matrix_rate, weight_decay=recipe.weight_decay))
    if rest:
        parts.append(adamw(rest, recipe))
    return Optimiser(parts, names)

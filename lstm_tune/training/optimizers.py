"""The optimizers, and the parameters as they want them.

An optimizer is one entry of `OPTIMIZERS` and one word of the parameter `optimizer` in `config`; a test compares both.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from lstm_tune.config import Config

_ALIGNMENT = 16  # numbers: torch aligns its memory to as many

Kind = TypeVar("Kind", bound=torch.optim.Optimizer)


def _uncompiled(kind: type[Kind]) -> type[Kind]:
    """Return the same optimizer without the import of torch's compiler.

    torch wraps these methods so that a compiler knows how to treat them, and imports the compiler at the first call,
    which takes a second of each process. Nothing is compiled here.
    """
    plain = {
        "add_param_group": inspect.unwrap(kind.add_param_group),
        "step": torch.no_grad()(inspect.unwrap(kind.step)),
    }
    return type(kind.__name__, (kind,), plain)


_Adam = _uncompiled(torch.optim.Adam)
_AdamW = _uncompiled(torch.optim.AdamW)
_NAdam = _uncompiled(torch.optim.NAdam)
_RMSprop = _uncompiled(torch.optim.RMSprop)
_SGD = _uncompiled(torch.optim.SGD)


@dataclass(frozen=True, kw_only=True, slots=True)
class OptimizerInfo:
    """How one optimizer is made."""

    make: Callable[[Sequence[Tensor], Config], torch.optim.Optimizer]
    adaptive: bool  # each step moves each weight by about the learning rate, however large its gradient is


OPTIMIZERS: Mapping[str, OptimizerInfo] = {
    "adam": OptimizerInfo(
        make=lambda p, c: _Adam(p, lr=c.learning_rate, weight_decay=c.weight_decay, fused=True),
        adaptive=True,
    ),
    "adamw": OptimizerInfo(
        make=lambda p, c: _AdamW(p, lr=c.learning_rate, weight_decay=c.weight_decay, fused=True),
        adaptive=True,
    ),
    "nadam": OptimizerInfo(
        make=lambda p, c: _NAdam(p, lr=c.learning_rate, weight_decay=c.weight_decay),
        adaptive=True,
    ),
    "rmsprop": OptimizerInfo(
        make=lambda p, c: _RMSprop(p, lr=c.learning_rate, weight_decay=c.weight_decay),
        adaptive=True,
    ),
    "sgd": OptimizerInfo(
        make=lambda p, c: _SGD(p, lr=c.learning_rate, weight_decay=c.weight_decay, momentum=c.momentum, fused=True),
        adaptive=False,
    ),
}


def make_optimizer(parameters: Sequence[Tensor], config: Config) -> torch.optim.Optimizer:
    """Return the optimizer that the configuration names, over `parameters`.

    Raises:
        KeyError: `OPTIMIZERS` has no such entry.
    """
    return OPTIMIZERS[config.optimizer].make(parameters, config)


def is_adaptive(optimizer: object) -> bool:
    """Return whether an optimizer of this name moves each weight by about the learning rate; False of no such name."""
    return isinstance(optimizer, str) and optimizer in OPTIMIZERS and OPTIMIZERS[optimizer].adaptive


def flatten(model: nn.Module) -> list[Tensor]:
    """Return what an optimizer is to be given, gradients of 0 attached: on a CPU one tensor that holds all parameters.

    Frozen parameters are left out: weight decay would shrink them. On a CPU the others and their gradients become views
    of the tensor. Clipping, optimizer and average then cost one operation each, not one for each parameter, which in a
    small model is a quarter of the step. Elsewhere the parameters stay as they are: cuDNN keeps those of a layer in
    memory of its own.
    """
    parameters: list[Tensor] = [p for p in model.parameters() if p.requires_grad]
    if any(p.device.type != "cpu" for p in parameters):
        for p in parameters:
            p.grad = torch.zeros_like(p)
        return parameters
    sizes = [-(-p.numel() // _ALIGNMENT) * _ALIGNMENT for p in parameters]  # what is between the parameters stays 0
    ends = list(itertools.accumulate(sizes))
    flat = torch.zeros(ends[-1])
    flat.grad = torch.zeros_like(flat)
    for p, size, end in zip(parameters, sizes, ends, strict=True):
        part = slice(end - size, end - size + p.numel())
        flat[part] = p.detach().flatten()
        p.data = flat[part].view_as(p)
        p.grad = flat.grad[part].view_as(p)
    return [flat]


def clip_gradients(gradients: list[Tensor], most: float) -> None:
    """Scale gradients so that their common norm is at most `most`."""
    norms = torch._foreach_norm(gradients)
    norm = norms[0] if len(norms) == 1 else torch.linalg.vector_norm(torch.stack(norms))
    torch._foreach_mul_(gradients, (most / (norm + 1e-6)).clamp_max(1.0))

"""The recurrent layers, and the cells that they can be made of.

A cell is one entry of `CELLS` and one label in `config.CELL_LABELS`; a test compares both.

Letters: T steps, B windows in a batch, I inputs of a step, U hidden units, G gates of the cell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Params = tuple[Tensor, Tensor, Tensor, Tensor]  # (G·U, I) and (G·U, U) weights, and the bias (G·U,) of each
Function = Callable[[Tensor], Tensor]

FUSED_ACTIVATION = "tanh"  # the only one that the library's kernels know
FUNCTIONS: Mapping[str, Function] = {
    "tanh": torch.tanh,
    "relu": F.relu,
    "leaky_relu": F.leaky_relu,
    "sigmoid": torch.sigmoid,
    "elu": F.elu,
    "gelu": F.gelu,
    "silu": F.silu,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """How one kind of recurrent layer is built and run."""

    layer: Callable[[int, int], nn.RNNBase]  # from I and U
    gates: int
    open_gate: int | None  # the gate whose bias starts at 1; None: no gate's
    fused: Callable[[Params, Tensor], tuple[Tensor, Tensor]]  # (T, B, I) → (T, B, U) and the last step's (B, U)
    stepwise: Callable[[Params, Tensor, Function], tuple[Tensor, Tensor]]  # the same with any activation


def _fused_lstm(params: Params, x: Tensor) -> tuple[Tensor, Tensor]:
    """Run one layer in the library's kernel, as nn.LSTM does.

    Its own forward costs a tenth of a small training step in checks, and a gradient that comes in through the last
    step's state alone spares a copy of all steps' gradients.
    """
    start = x.new_zeros(1, x.shape[1], params[1].shape[1])
    steps, last, _ = torch.lstm(x, (start, start), params, True, 1, 0.0, torch.is_grad_enabled(), False, False)
    return steps, last[0]


def _stepwise_lstm(params: Params, x: Tensor, function: Function) -> tuple[Tensor, Tensor]:
    """Run one layer step by step, with `function` on the candidate and on the output."""
    weight_ih, weight_hh, bias_ih, bias_hh = params
    projected = F.linear(x, weight_ih, bias_ih + bias_hh)  # (T, B, 4U): all steps at once
    h = c = x.new_zeros(x.shape[1], weight_hh.shape[1])
    outputs = []
    for step in projected.unbind(0):
        i, f, g, o = (step + h @ weight_hh.T).chunk(4, dim=1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * function(g)
        h = torch.sigmoid(o) * function(c)
        outputs.append(h)
    return torch.stack(outputs), h


CELLS: Mapping[str, Cell] = {
    # The forget gate is the second of PyTorch's four; it starts open (Jozefowicz et al. 2015).
    "lstm": Cell(layer=nn.LSTM, gates=4, open_gate=1, fused=_fused_lstm, stepwise=_stepwise_lstm),
}


class RecurrentLayers(nn.Module):
    """Layers of one cell that map (B, T, I) to the last step's hidden state (B, U).

    Input weights start Xavier-uniform, recurrent weights orthogonal (Saxe et al. 2014), each over all gates at once as
    Keras has it, biases zero but for the cell's open gate.

    Attributes:
        in_bf16: whether training runs in bfloat16, with weights and gradients kept in float32.

    Args:
        cell: an entry of `CELLS`.
        inputs: I, features of a step.
        units: U, hidden units.
        layers: number of layers.
        dropout: share of the activations that is left out between layers.
        activation: of the candidate and the output. Only 'tanh' runs in the fused kernel; any other runs step by step
            in Python and takes 5 to 20 times the time.
    """

    def __init__(self, cell: Cell, inputs: int, units: int, *, layers: int, dropout: float, activation: str) -> None:
        super().__init__()
        self.cell = cell
        # One module for each layer: the library's own dropout between layers draws from the global generator.
        self.layers = nn.ModuleList(cell.layer(units if layer else inputs, units) for layer in range(layers))
        self.dropout = Dropout(dropout)
        self.function = None if activation == FUSED_ACTIVATION else FUNCTIONS[activation]
        self.in_bf16 = False
        for core in self._cores():
            weight_ih, weight_hh, bias_ih, bias_hh = layer_params(core)
            nn.init.xavier_uniform_(weight_ih)
            nn.init.orthogonal_(weight_hh)
            nn.init.zeros_(bias_ih)
            nn.init.zeros_(bias_hh)
            if cell.open_gate is not None:
                nn.init.ones_(bias_ih.chunk(cell.gates)[cell.open_gate])  # PyTorch adds two biases: one is enough

    def _cores(self) -> Iterator[nn.RNNBase]:
        for core in self.layers:
            assert isinstance(core, nn.RNNBase)
            yield core

    def flatten_parameters(self) -> None:
        """Lay each layer's weights out as cuDNN wants them, which a deep copy does not keep; on a CPU do nothing."""
        for core in self._cores():
            core.flatten_parameters()

    def forward(self, x: Tensor) -> Tensor:
        """Return the last layer's hidden state after the last step, (B, U)."""
        x = x.transpose(0, 1)  # the kernels take time first, and hand it on so from layer to layer
        last = x[-1]
        for layer, core in enumerate(self._cores()):
            if layer:
                x = self.dropout(x)
            params = layer_params(core)
            if self.function is not None:
                x, last = self.cell.stepwise(params, x, self.function)
            elif self.in_bf16 and self.training:
                with torch.autocast(x.device.type, torch.bfloat16):
                    x, last = self.cell.fused(params, x)
            else:
                x, last = self.cell.fused(params, x)
        return last.float()


def layer_params(core: nn.RNNBase) -> Params:
    """Return the weights and biases of one layer."""
    weight_ih, weight_hh, bias_ih, bias_hh = core.all_weights[0]
    return weight_ih, weight_hh, bias_ih, bias_hh


def set_training_precision(model: nn.Module, precision: str) -> None:
    """Let the recurrent layers of a model train in "fp32" or "bf16"; evaluation is always in fp32."""
    for module in model.modules():
        if isinstance(module, RecurrentLayers):
            module.in_bf16 = precision == "bf16"


class Dropout(nn.Module):
    """Dropout that draws from a generator of its own, so that models can train side by side and repeat to the bit.

    Attributes:
        generator: of the masks; None: torch's global one.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p
        self.generator: torch.Generator | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Zero each element with probability p and scale the rest by 1/(1-p); outside of training return x."""
        if not self.training or not self.p:
            return x
        keep = 1 - self.p
        return x * torch.empty_like(x).bernoulli_(keep, generator=self.generator).div_(keep)


def seed_dropout(model: nn.Module, generator: torch.Generator) -> None:
    """Let every `Dropout` of a model draw from this generator."""
    for module in model.modules():
        if isinstance(module, Dropout):
            module.generator = generator

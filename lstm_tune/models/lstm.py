"""The LSTM layers: the fused `nn.LSTM`, or a slower plain cell where another activation than tanh is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_Params = tuple[Tensor, Tensor, Tensor, Tensor]  # input weights, recurrent weights, and the bias of each

_FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "relu": F.relu,
    "leaky_relu": F.leaky_relu,
    "sigmoid": torch.sigmoid,
    "elu": F.elu,
    "gelu": F.gelu,
    "silu": F.silu,
}


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


def set_training_precision(model: nn.Module, precision: str) -> None:
    """Let every `LSTM` of a model compute in "fp32" or "bf16" while it trains; evaluation is always in fp32."""
    for module in model.modules():
        if isinstance(module, LSTM):
            module.in_bf16 = precision == "bf16"


class LSTM(nn.Module):
    """Layers of LSTM that map (B, T, I) to the last step's hidden state (B, U).

    Input weights start Xavier-uniform, recurrent weights orthogonal (Saxe et al. 2014), each over all four gates as
    Keras has it, biases zero but for the forget gate's, which is 1 (Jozefowicz et al. 2015).

    Attributes:
        in_bf16: whether training runs in bfloat16, with weights and gradients kept in float32.

    Args:
        inputs: I, features of a step.
        units: U, hidden units.
        layers: number of layers.
        dropout: between layers.
        activation: of the candidate and the output. Only 'tanh' runs in the fused kernel; any other runs step by step
            in Python and costs 5 to 20 times the time.
    """

    def __init__(self, inputs: int, units: int, *, layers: int, dropout: float, activation: str) -> None:
        super().__init__()
        # One nn.LSTM for each layer: its own dropout between layers would draw from the global generator.
        self.layers = nn.ModuleList(nn.LSTM(units if layer else inputs, units) for layer in range(layers))
        self.dropout = Dropout(dropout)
        self.function = None if activation == "tanh" else _FUNCTIONS[activation]
        self.in_bf16 = False
        for core in self._cores():
            weight_ih, weight_hh, bias_ih, bias_hh = _params(core)
            nn.init.xavier_uniform_(weight_ih)
            nn.init.orthogonal_(weight_hh)
            nn.init.zeros_(bias_ih)
            nn.init.zeros_(bias_hh)
            nn.init.ones_(bias_ih.chunk(4)[1])  # PyTorch adds two biases; the forget gate is the second chunk

    def _cores(self) -> Iterator[nn.LSTM]:
        for core in self.layers:
            assert isinstance(core, nn.LSTM)
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
            params = _params(core)
            if self.function is not None:
                x, last = _plain(params, x, self.function)
            elif self.in_bf16 and self.training:
                with torch.autocast(x.device.type, torch.bfloat16):
                    x, last = _fused(params, x)
            else:
                x, last = _fused(params, x)
        return last.float()


def _params(core: nn.LSTM) -> _Params:
    weight_ih, weight_hh, bias_ih, bias_hh = core.all_weights[0]
    return weight_ih, weight_hh, bias_ih, bias_hh


def _fused(params: _Params, x: Tensor) -> tuple[Tensor, Tensor]:
    """Run one layer in the library's kernel: (T, B, I) → (T, B, U) and the last step's (B, U).

    That is what nn.LSTM calls. Its own forward costs a tenth of a small training step in checks, and a gradient that
    comes in through the last step's state alone spares a copy of all steps' gradients.
    """
    start = x.new_zeros(1, x.shape[1], params[1].shape[1])
    steps, last, _ = torch.lstm(x, (start, start), params, True, 1, 0.0, torch.is_grad_enabled(), False, False)
    return steps, last[0]


def _plain(params: _Params, x: Tensor, function: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """Run one layer step by step: (T, B, I) → (T, B, U) and the last step's (B, U)."""
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

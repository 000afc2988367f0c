"""The LSTM layers: the fused `nn.LSTM`, or a slower plain cell where another activation than tanh is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

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


class LSTM(nn.Module):
    """Layers of LSTM that map (B, T, I) to the last step's hidden state (B, U).

    Input weights start Xavier-uniform, recurrent weights orthogonal (Saxe et al. 2014), each over all four gates as
    Keras has it, biases zero but for the forget gate's, which is 1 (Jozefowicz et al. 2015).

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
        self.layers = nn.ModuleList(
            nn.LSTM(units if layer else inputs, units, batch_first=True) for layer in range(layers)
        )
        self.dropout = Dropout(dropout)
        self.function = None if activation == "tanh" else _FUNCTIONS[activation]
        for core in self._cores():
            weight_ih, weight_hh, bias_ih, bias_hh = core.all_weights[0]
            nn.init.xavier_uniform_(weight_ih)
            nn.init.orthogonal_(weight_hh)
            nn.init.zeros_(bias_ih)
            nn.init.zeros_(bias_hh)
            nn.init.ones_(bias_ih.chunk(4)[1])  # PyTorch adds two biases; the forget gate is the second chunk

    def _cores(self) -> Iterator[nn.LSTM]:
        for core in self.layers:
            assert isinstance(core, nn.LSTM)
            yield core

    def forward(self, x: Tensor) -> Tensor:
        """Return the last layer's hidden state after the last step, (B, U)."""
        for layer, core in enumerate(self._cores()):
            if layer:
                x = self.dropout(x)
            x = core(x)[0] if self.function is None else _plain(core, x, self.function)
        return x[:, -1]


def _plain(core: nn.LSTM, x: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
    """Run one layer step by step: (B, T, I) → (B, T, U)."""
    weight_ih, weight_hh, bias_ih, bias_hh = core.all_weights[0]
    projected = F.linear(x, weight_ih, bias_ih + bias_hh)  # (B, T, 4U): all steps at once
    h = c = x.new_zeros(len(x), core.hidden_size)
    outputs = []
    for step in projected.unbind(1):
        i, f, g, o = (step + h @ weight_hh.T).chunk(4, dim=1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * function(g)
        h = torch.sigmoid(o) * function(c)
        outputs.append(h)
    return torch.stack(outputs, dim=1)

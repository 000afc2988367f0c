"""The LSTM layers: the fused `nn.LSTM`, or a slower plain cell where another activation than tanh is asked for."""

from __future__ import annotations

from collections.abc import Callable

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


class LSTM(nn.Module):
    """Layers of LSTM that map (B, T, I) to the last step's hidden state (B, U).

    Input weights start Xavier-uniform, recurrent weights orthogonal (Saxe et al. 2014), biases zero but for the
    forget gate's, which is 1 (Jozefowicz et al. 2015).

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
        self.core = nn.LSTM(inputs, units, layers, batch_first=True, dropout=dropout if layers > 1 else 0.0)
        self.function = None if activation == "tanh" else _FUNCTIONS[activation]
        for name, parameter in self.core.named_parameters():
            if name.startswith("weight_ih"):
                for gate in parameter.chunk(4):
                    nn.init.xavier_uniform_(gate)
            elif name.startswith("weight_hh"):
                for gate in parameter.chunk(4):
                    nn.init.orthogonal_(gate)
            else:
                nn.init.zeros_(parameter)
                if name.startswith("bias_ih"):  # PyTorch adds two biases; the forget gate is the second chunk
                    nn.init.ones_(parameter.chunk(4)[1])

    def forward(self, x: Tensor) -> Tensor:
        """Return the last layer's hidden state after the last step, (B, U)."""
        if self.function is None:
            hidden: Tensor = self.core(x)[1][0][-1]
            return hidden
        return self._plain(x, self.function)

    def _plain(self, x: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
        core = self.core
        for layer in range(core.num_layers):
            w_ih, w_hh = getattr(core, f"weight_ih_l{layer}"), getattr(core, f"weight_hh_l{layer}")
            bias = getattr(core, f"bias_ih_l{layer}") + getattr(core, f"bias_hh_l{layer}")
            projected = F.linear(x, w_ih, bias)  # (B, T, 4U): all steps at once
            h = c = x.new_zeros(len(x), core.hidden_size)
            outputs = []
            for step in projected.unbind(1):
                i, f, g, o = (step + h @ w_hh.T).chunk(4, dim=1)
                c = torch.sigmoid(f) * c + torch.sigmoid(i) * function(g)
                h = torch.sigmoid(o) * function(c)
                outputs.append(h)
            x = torch.stack(outputs, dim=1)
            if layer < core.num_layers - 1:
                x = F.dropout(x, core.dropout, self.training)
        return x[:, -1]

"""A configuration in words, for people who look at a trial."""

from __future__ import annotations

from lstm_tune.config import Config


def in_words(config: Config) -> str:
    """Return 'LSTM 1×64, lookback 96 in patches of 8, windows minus their last value, adam 0.001, batch 64'."""
    c = config
    parts = [f"LSTM {c.layers}×{c.hidden_units}", f"lookback {c.lookback}"]
    if c.patch > 1:
        parts[-1] += f" in patches of {c.patch}"
    if c.transform == "log":
        parts.append("log")
    if c.difference != "none":
        parts.append(f"{c.difference} differences")
    parts += {"last": ["windows minus their last value"], "standard": ["windows standardised"]}.get(c.window_norm, [])
    if c.skip != "none":
        parts.append(
            {"last": "corrects the last value", "linear": "corrects ridge regression"}.get(
                c.skip, "corrects last season"
            )
        )
    if c.outlier_clip:
        parts.append(f"inputs cut at {c.outlier_clip:g} sd")
    if c.head_units:
        parts.append(f"head of {c.head_units} units, {c.activation}")
    if c.cell_activation != "tanh":
        parts.append(f"{c.cell_activation} cell")
    if c.dropout:
        parts.append(f"dropout {c.dropout:.2g}")
    parts.append(
        f"{c.optimizer} {c.learning_rate:.2g}" + ("" if c.schedule == "constant" else f", {c.schedule} schedule")
    )
    if c.weight_decay:
        parts.append(f"weight decay {c.weight_decay:.2g}")
    if c.loss != "mse":
        parts.append(f"{c.loss} loss")
    return ", ".join([*parts, f"batch {c.batch_size}"])

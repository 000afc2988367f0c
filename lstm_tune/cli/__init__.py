"""The commands of `lstm-tune`."""

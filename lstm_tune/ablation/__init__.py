"""From the plain LSTM to the tuned one, one change at a time."""

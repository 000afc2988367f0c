"""The LSTM and its preprocessing, the baselines, and the saved model."""

"""The LSTM and its preprocessing, the baselines, and the files of a saved model."""

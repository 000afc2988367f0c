"""Causes of a high MSE: in the data, the training, the forecasts and the search."""

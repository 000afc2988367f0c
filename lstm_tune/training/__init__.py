"""Trains configurations: trainer, folds, retrain, the mean of several trials, and the saved model."""

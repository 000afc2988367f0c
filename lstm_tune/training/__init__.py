"""Trains configurations: trainer, folds, retrain, and the mean of several trials."""

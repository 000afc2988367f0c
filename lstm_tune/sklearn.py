"""The estimator for scikit-learn: `from lstm_tune.sklearn import LSTMTuneRegressor`."""

from lstm_tune.pipeline.estimator import LSTMTuneRegressor

__all__ = ["LSTMTuneRegressor"]

"""The one scoring function, the forecasts it has seen, and intervals."""

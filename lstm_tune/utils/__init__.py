"""Helpers that know nothing of series or models: atomic files, escaping, signals, processes, text."""

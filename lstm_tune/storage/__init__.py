"""Where Optuna keeps a study: a journal file, memory or a database."""

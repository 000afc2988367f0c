"""optuna-dashboard on a study, and the notes that it shows."""

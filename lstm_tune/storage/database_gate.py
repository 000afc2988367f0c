"""The name of the gate, which statements of the database and the search both know."""

GATE = "lstm_tune:gate"  # system attribute of a study: which trials may be taken out of its queue

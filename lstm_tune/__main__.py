"""`python -m lstm_tune` is `lstm-tune`."""

from lstm_tune.cli import main

main()

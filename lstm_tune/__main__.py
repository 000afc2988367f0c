"""`lstm-tune`, and `python -m lstm_tune`."""

from lstm_tune.utils.signals import leaving


def main() -> None:
    """Run the command line."""
    with leaving():
        from lstm_tune.cli.app import main as command_line
    command_line()


if __name__ == "__main__":
    main()

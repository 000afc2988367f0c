"""`lstm-tune`, and `python -m lstm_tune`."""

from lstm_tune.utils.signals import exit_on_ctrl_c


def main() -> None:
    """Run the command line."""
    with exit_on_ctrl_c():
        from lstm_tune.cli.app import main as command_line
    command_line()


if __name__ == "__main__":
    main()

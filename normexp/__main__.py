"""`python -m normexp`, and the command `normexp`."""

import sys


def main() -> None:
    """The entry point: Ctrl-C while modules are imported is no reason for a traceback."""
    try:
        from normexp.cli import main as command

        command()
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(130)


if __name__ == "__main__":
    main()

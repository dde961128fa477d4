"""`python -m normexp`, and the command `normexp`."""

import gc
import sys


def main() -> None:
    """The entry point: Ctrl-C while modules are imported is no reason for a traceback."""
    try:
        from normexp.cli import main as command

        command()
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(130)
    finally:
        gc.freeze()  # or Python would look for garbage among all that PyTorch has made, .4 s


if __name__ == "__main__":
    main()

"""`python -m normexp`."""

from normexp.cli import main

main()

"""`python -m butakero`."""

from butakero.cli import main

main()

"""``python -m harness``: the command."""

from harness.cli.main import main

main()

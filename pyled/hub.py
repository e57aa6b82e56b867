"""The checkpoint that is part of the package, used where none is named."""

from pathlib import Path

# A small LED that writes the one-line synopsis of a software description or a manual page; its README.md says the rest.
SYNOPSIS = Path(__file__).parent / "synopsis"
KNOWN = "descriptions of software and manual pages"  # what it was trained on
UNNAMED = f"no checkpoint is named: the one in the package is used, which knows {KNOWN}; pass another with -m"

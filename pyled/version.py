"""The version, for records, `--version` and the package's metadata."""

__version__ = "0.1.0"

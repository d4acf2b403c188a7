"""The version, in a file of its own so that no part needs the package's face."""

__version__ = "0.1.0"

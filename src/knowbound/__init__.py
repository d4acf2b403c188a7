"""Image classifiers that know where their knowledge ends."""

__version__ = "0.1.0"

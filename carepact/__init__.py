"""The command line, settings and the local platform."""

__version__ = "0.1.0"

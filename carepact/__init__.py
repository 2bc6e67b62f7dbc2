"""The command line, settings and the local platform."""

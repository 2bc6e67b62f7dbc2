"""HTTP: intake, outcome feeds, statements, console."""

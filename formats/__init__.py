"""Pure readers: raw records in, facts or rejects out."""

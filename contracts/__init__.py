"""The pure core: facts, episodes, terms, decisions. No clock, no network, no database."""

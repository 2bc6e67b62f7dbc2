"""Parts are killed and stopped while they work; what comes out stays the same."""

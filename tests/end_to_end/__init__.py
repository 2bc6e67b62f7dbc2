"""The whole path: files in, Kafka, workers as processes, PostgreSQL, payments out."""

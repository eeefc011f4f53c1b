"""Source files to ingest files."""

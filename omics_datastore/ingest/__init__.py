"""From a source file to ingest files: read, check, order by shuffle key, write, in bounded memory."""

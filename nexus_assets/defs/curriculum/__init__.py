"""Feature schemas, plans, shards and releases."""

"""The data itself: schemas, ids, ingest, query, plan, extract. No Dagster, no KFP, no cloud SDK."""

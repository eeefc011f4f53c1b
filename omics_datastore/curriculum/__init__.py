"""From a specification to a release: plan, extract, write shards, verify, release."""

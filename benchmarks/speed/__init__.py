"""Nexus beside a floor program and its peers on the same files: ``python -m benchmarks.speed`` (``make bench``)."""

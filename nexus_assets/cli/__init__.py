"""The ``nexus`` command line, thin over the same functions and assets; every run is a Dagster run."""

"""Where Nexus runs: settings, object store and warehouse as Dagster resources, the pipeline runner."""

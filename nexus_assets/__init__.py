"""What exists: Dagster assets, partitions, checks, jobs, sensors, schedules; and the command line."""

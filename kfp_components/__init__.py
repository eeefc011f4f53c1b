"""How heavy steps fan out: thin KFP components and pipelines over ``omics_datastore``. No Dagster."""

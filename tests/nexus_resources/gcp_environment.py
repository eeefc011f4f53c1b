"""The environment of a whole deployment on Google Cloud."""

GCP = {
    "NEXUS_DEPLOYMENT": "gcp",
    "NEXUS_ROOT": "gs://my-bucket/nexus",
    "NEXUS_PROJECT": "my-project",
    "NEXUS_LOCATION": "EU",
    "NEXUS_REGION": "europe-west4",
    "NEXUS_BIGQUERY_DATASET": "atlas",
    "NEXUS_WORKER_IMAGE": "europe-west4-docker.pkg.dev/my-project/nexus/worker:1",
    "NEXUS_DAGSTER_HOME": "/opt/dagster",
}

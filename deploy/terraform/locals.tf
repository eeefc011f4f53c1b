# Names, labels and the environment of the containers, each said once.

locals {
  name   = "nexus-${var.environment}"
  labels = merge(var.labels, { application = "nexus", environment = var.environment })
  number = data.google_project.this.number
  hosts  = { operators = var.domain, viewers = "view.${var.domain}" }
  agents = "iam.gserviceaccount.com"

  # Every setting of Nexus (nexus_resources/settings.py) that a deployment decides; a test holds the names.
  nexus_settings = {
    NEXUS_DEPLOYMENT           = "gcp"
    NEXUS_ROOT                 = "gs://${google_storage_bucket.data.name}/${var.prefix}"
    NEXUS_PROJECT              = var.project
    NEXUS_LOCATION             = var.location
    NEXUS_REGION               = var.region
    NEXUS_BIGQUERY_DATASET     = google_bigquery_dataset.warehouse.dataset_id
    NEXUS_WORKER_IMAGE         = var.worker_image
    NEXUS_SERVICE_ACCOUNT      = google_service_account.worker.email
    NEXUS_SPOT                 = var.spot ? "on" : "off"
    NEXUS_CLIENT_CALLS         = var.client_calls
    NEXUS_WEB_ADDRESS          = "https://${local.hosts.operators}"
    NEXUS_MAXIMUM_BYTES_BILLED = tostring(var.maximum_bytes_billed)
    NEXUS_LABELS               = join(",", [for key, value in local.labels : "${key}=${value}"])
  }

  # Those that may be empty are left out when they are: only they, since whether a value is empty must be known in a plan.
  machines = { for name, machine in var.machines : name => { for key, value in machine : key => value if value != null } }
  nexus_options = {
    NEXUS_NETWORK             = var.pipeline_network
    NEXUS_CMEK_KEY            = var.kms_key
    NEXUS_MACHINES            = length(var.machines) == 0 ? "" : jsonencode(local.machines)
    NEXUS_SPOT_LAUNCHER_IMAGE = var.spot_launcher_image
  }

  nexus_environment = merge(
    local.nexus_settings,
    { for name, value in local.nexus_options : name => value if value != "" },
    var.settings,
  )

  # What deploy/dagster.yaml reads.
  dagster_environment = {
    DAGSTER_HOME              = "/opt/dagster"
    DAGSTER_POSTGRES_HOST     = google_sql_database_instance.dagster.private_ip_address
    DAGSTER_POSTGRES_PORT     = "5432"
    DAGSTER_POSTGRES_DATABASE = google_sql_database.dagster.name
    DAGSTER_POSTGRES_USER     = "dagster"
    DAGSTER_LOG_BUCKET        = google_storage_bucket.logs.name
    DAGSTER_RUN_JOB           = "projects/${var.project}/locations/${var.region}/jobs/${local.name}-run"
    PGSSLMODE                 = "require"
  }

  environment = merge(local.nexus_environment, local.dagster_environment, { NEXUS_DAGSTER_HOME = "/opt/dagster" })
}

# Who Nexus is, and what each of them may do. Why, in words: docs/deploy/iam.md; a test holds the table to this file.

resource "google_service_account" "dagster" {
  account_id   = "${local.name}-dagster"
  display_name = "Nexus: web UI, daemon and runs"
  depends_on   = [google_project_service.this]
}

resource "google_service_account" "worker" {
  account_id   = "${local.name}-worker"
  display_name = "Nexus: tasks of pipelines"
  depends_on   = [google_project_service.this]
}

resource "google_service_account" "viewer" {
  account_id   = "${local.name}-viewer"
  display_name = "Nexus: the read-only web UI"
  depends_on   = [google_project_service.this]
}

locals {
  dagster = "serviceAccount:${google_service_account.dagster.email}"
  worker  = "serviceAccount:${google_service_account.worker.email}"
  viewer  = "serviceAccount:${google_service_account.viewer.email}"

  # The worker loads and plans only when it is told to.
  loaders = var.client_calls == "pipeline" ? { dagster = local.dagster, worker = local.worker } : { dagster = local.dagster }

  dropped = ["inbox", "feature_schemas", "curricula"]
}

# Submit, watch and cancel pipeline jobs, and read the log of a failing task.
resource "google_project_iam_custom_role" "pipelines" {
  role_id     = replace("${local.name}_pipelines", "-", "_")
  title       = "Nexus ${var.environment}: pipeline jobs"
  description = "Submit, watch and cancel Vertex AI pipeline jobs and read their logs."
  permissions = [
    "aiplatform.pipelineJobs.cancel",
    "aiplatform.pipelineJobs.create",
    "aiplatform.pipelineJobs.get",
    "aiplatform.pipelineJobs.list",
    "logging.logEntries.list",
  ]
}

# Start, watch and end the execution of a run.
resource "google_project_iam_custom_role" "runs" {
  role_id     = replace("${local.name}_runs", "-", "_")
  title       = "Nexus ${var.environment}: runs"
  description = "Start, watch and cancel executions of Cloud Run jobs."
  permissions = [
    "run.executions.cancel",
    "run.executions.get",
    "run.executions.list",
    "run.jobs.get",
    "run.jobs.run",
    "run.jobs.runWithOverrides",
    "run.operations.get",
  ]
}

resource "google_project_iam_member" "dagster_pipelines" {
  project = var.project
  role    = google_project_iam_custom_role.pipelines.id
  member  = local.dagster
}

resource "google_project_iam_member" "dagster_runs" {
  project = var.project
  role    = google_project_iam_custom_role.runs.id
  member  = local.dagster
}

# A pipeline job runs as the worker; who submits it must be allowed to say so.
resource "google_service_account_iam_member" "dagster_acts_as_worker" {
  service_account_id = google_service_account.worker.name
  role               = "roles/iam.serviceAccountUser"
  member             = local.dagster
}

# On spot machines a task is a custom job, which the pipeline's launcher submits as the worker, to run as the worker.
resource "google_service_account_iam_member" "worker_acts_as_itself" {
  count              = var.spot ? 1 : 0
  service_account_id = google_service_account.worker.name
  role               = "roles/iam.serviceAccountUser"
  member             = local.worker
}

# What Vertex AI asks of the account of a pipeline job: its tasks write their state.
resource "google_project_iam_member" "worker_vertex" {
  project = var.project
  role    = "roles/aiplatform.user"
  member  = local.worker
}

resource "google_project_iam_member" "worker_logs" {
  project = var.project
  role    = "roles/logging.logWriter"
  member  = local.worker
}

resource "google_storage_bucket_iam_member" "data_objects" {
  for_each = { dagster = local.dagster, worker = local.worker }
  bucket   = google_storage_bucket.data.name
  role     = "roles/storage.objectUser"
  member   = each.value
}

# Whether and where a bucket is: the one thing of a bucket that objectUser does not show. Reads of what is missing ask.
resource "google_storage_bucket_iam_member" "data_bucket" {
  for_each = { dagster = local.dagster, worker = local.worker }
  bucket   = google_storage_bucket.data.name
  role     = "roles/storage.legacyBucketReader"
  member   = each.value
}

resource "google_storage_bucket_iam_member" "viewer_data" {
  bucket = google_storage_bucket.data.name
  role   = "roles/storage.objectViewer"
  member = local.viewer
}

resource "google_storage_bucket_iam_member" "logs_write" {
  bucket = google_storage_bucket.logs.name
  role   = "roles/storage.objectUser"
  member = local.dagster
}

resource "google_storage_bucket_iam_member" "logs_read" {
  bucket = google_storage_bucket.logs.name
  role   = "roles/storage.objectViewer"
  member = local.viewer
}

# Dagster's log manager asks whether its bucket exists before anything else.
resource "google_storage_bucket_iam_member" "logs_bucket" {
  for_each = { dagster = local.dagster, viewer = local.viewer }
  bucket   = google_storage_bucket.logs.name
  role     = "roles/storage.legacyBucketReader"
  member   = each.value
}

resource "google_bigquery_dataset_iam_member" "edit" {
  for_each   = local.loaders
  dataset_id = google_bigquery_dataset.warehouse.dataset_id
  role       = "roles/bigquery.dataEditor"
  member     = each.value
}

resource "google_bigquery_dataset_iam_member" "worker_view" {
  dataset_id = google_bigquery_dataset.warehouse.dataset_id
  role       = "roles/bigquery.dataViewer"
  member     = local.worker
}

resource "google_project_iam_member" "query" {
  for_each = local.loaders
  project  = var.project
  role     = "roles/bigquery.jobUser"
  member   = each.value
}

resource "google_project_iam_member" "read_sessions" {
  for_each = { dagster = local.dagster, worker = local.worker }
  project  = var.project
  role     = "roles/bigquery.readSessionUser"
  member   = each.value
}

resource "google_secret_manager_secret_iam_member" "database_password" {
  for_each  = { dagster = local.dagster, viewer = local.viewer }
  secret_id = google_secret_manager_secret.database_password.id
  role      = "roles/secretmanager.secretAccessor"
  member    = each.value
}

# People who drop files write below the three folders that are watched, and nowhere else.
resource "google_storage_bucket_iam_member" "drop" {
  for_each = var.data_writers
  bucket   = google_storage_bucket.data.name
  role     = "roles/storage.objectUser"
  member   = each.value

  condition {
    title      = "the watched folders"
    expression = join(" || ", [for folder in local.dropped : "resource.name.startsWith('projects/_/buckets/${google_storage_bucket.data.name}/objects/${var.prefix}/${folder}/')"])
  }
}

# People who train read curricula, and query the warehouse at their own project's cost or ours.
resource "google_storage_bucket_iam_member" "read_curricula" {
  for_each = var.data_readers
  bucket   = google_storage_bucket.data.name
  role     = "roles/storage.objectViewer"
  member   = each.value

  condition {
    title      = "the curricula"
    expression = "resource.name.startsWith('projects/_/buckets/${google_storage_bucket.data.name}/objects/${var.prefix}/extracts/')"
  }
}

resource "google_bigquery_dataset_iam_member" "read_warehouse" {
  for_each   = var.data_readers
  dataset_id = google_bigquery_dataset.warehouse.dataset_id
  role       = "roles/bigquery.dataViewer"
  member     = each.value
}

# Google's own agents need the key before anything can be encrypted with it.
data "google_storage_project_service_account" "this" {
  project = var.project
}

resource "google_kms_crypto_key_iam_member" "agents" {
  for_each = var.kms_key == "" ? {} : {
    storage  = "serviceAccount:${data.google_storage_project_service_account.this.email_address}"
    bigquery = "serviceAccount:bq-${local.number}@bigquery-encryption.${local.agents}"
    vertex   = "serviceAccount:service-${local.number}@gcp-sa-aiplatform.${local.agents}"
    database = "serviceAccount:service-${local.number}@gcp-sa-cloud-sql.${local.agents}"
  }
  crypto_key_id = var.kms_key
  role          = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
  member        = each.value
}

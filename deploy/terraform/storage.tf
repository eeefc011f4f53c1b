# The data bucket (drops, ingest files, curricula), the bucket of Dagster's logs, and the images.

resource "google_storage_bucket" "data" {
  name                        = "${var.project}-${local.name}"
  location                    = var.location
  storage_class               = "STANDARD"
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = false

  versioning {
    enabled = true
  }

  soft_delete_policy {
    retention_duration_seconds = 604800
  }

  # What a later write replaced, or a purge deleted, can be had back for thirty days.
  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      days_since_noncurrent_time = 30
    }
  }

  # Nothing resumes an upload that lies for a week.
  lifecycle_rule {
    action {
      type = "AbortIncompleteMultipartUpload"
    }
    condition {
      age = 7
    }
  }

  # What pipelines leave behind: configurations, results and progress of tasks. A run reads them while it runs.
  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      age            = 90
      matches_prefix = ["${var.prefix}/pipelines/", "${var.prefix}/tasks/"]
    }
  }

  # Parts of big uploads, deleted when they are composed: no version of one, nor one of a killed upload, is worth keeping.
  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      age            = 1
      with_state     = "ANY"
      matches_prefix = ["${var.prefix}/.scratch/"]
    }
  }

  dynamic "encryption" {
    for_each = var.kms_key == "" ? [] : [var.kms_key]
    content {
      default_kms_key_name = encryption.value
    }
  }

  depends_on = [google_project_service.this, google_kms_crypto_key_iam_member.agents]
}

resource "google_storage_bucket" "logs" {
  name                        = "${var.project}-${local.name}-logs"
  location                    = var.location
  storage_class               = "STANDARD"
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = false

  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      age = 180
    }
  }

  dynamic "encryption" {
    for_each = var.kms_key == "" ? [] : [var.kms_key]
    content {
      default_kms_key_name = encryption.value
    }
  }

  depends_on = [google_project_service.this, google_kms_crypto_key_iam_member.agents]
}

resource "google_artifact_registry_repository" "images" {
  repository_id = "nexus"
  location      = var.region
  format        = "DOCKER"
  description   = "The platform and the worker image of Nexus."

  docker_config {
    immutable_tags = true
  }

  cleanup_policies {
    id     = "keep-the-last-twenty"
    action = "KEEP"
    most_recent_versions {
      keep_count = 20
    }
  }

  cleanup_policies {
    id     = "delete-what-is-old"
    action = "DELETE"
    condition {
      older_than = "15552000s"
    }
  }

  depends_on = [google_project_service.this]
}

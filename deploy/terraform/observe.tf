# What warns: the budget, and the three things that stop Nexus without anybody noticing.

resource "google_monitoring_notification_channel" "email" {
  display_name = "Nexus ${var.environment}"
  type         = "email"
  labels       = { email_address = var.alert_email }
  depends_on   = [google_project_service.this]
}

resource "google_billing_budget" "nexus" {
  billing_account = var.billing_account
  display_name    = "Nexus ${var.environment}"

  # Vertex jobs, queries and everything here carry the label; what others do in the project does not count.
  budget_filter {
    projects = ["projects/${local.number}"]
    labels   = { application = "nexus" }
  }

  amount {
    specified_amount {
      units = tostring(var.monthly_budget)
    }
  }

  dynamic "threshold_rules" {
    for_each = [0.5, 0.9, 1.0]
    content {
      threshold_percent = threshold_rules.value
    }
  }

  threshold_rules {
    threshold_percent = 1.0
    spend_basis       = "FORECASTED_SPEND"
  }

  all_updates_rule {
    monitoring_notification_channels = [google_monitoring_notification_channel.email.id]
  }
}

locals {
  alerts = {
    daemon = {
      title  = "the daemon is not running: no sensor, no schedule, no queued run starts"
      filter = "resource.type = \"cloud_run_worker_pool\" AND resource.labels.worker_pool_name = \"${google_cloud_run_v2_worker_pool.daemon.name}\" AND metric.type = \"run.googleapis.com/container/instance_count\""
      below  = true
      value  = 1
    }
    disk = {
      title  = "the database's disk is nearly full"
      filter = "resource.type = \"cloudsql_database\" AND resource.labels.database_id = \"${var.project}:${google_sql_database_instance.dagster.name}\" AND metric.type = \"cloudsql.googleapis.com/database/disk/utilization\""
      below  = false
      value  = 0.9
    }
    errors = {
      title  = "the web UI answers with errors"
      filter = "resource.type = \"cloud_run_revision\" AND resource.labels.service_name = \"${google_cloud_run_v2_service.web["operators"].name}\" AND metric.type = \"run.googleapis.com/request_count\" AND metric.labels.response_code_class = \"5xx\""
      below  = false
      value  = 0.1
    }
  }
}

resource "google_monitoring_alert_policy" "nexus" {
  for_each              = local.alerts
  display_name          = "Nexus ${var.environment}: ${each.value.title}"
  combiner              = "OR"
  notification_channels = [google_monitoring_notification_channel.email.id]
  user_labels           = local.labels

  conditions {
    display_name = each.value.title

    condition_threshold {
      filter          = each.value.filter
      comparison      = each.value.below ? "COMPARISON_LT" : "COMPARISON_GT"
      threshold_value = each.value.value
      duration        = "600s"
      # No instance, no point: silence is the alarm of the daemon, and only of the daemon.
      evaluation_missing_data = each.value.below ? "EVALUATION_MISSING_DATA_ACTIVE" : "EVALUATION_MISSING_DATA_INACTIVE"

      aggregations {
        alignment_period   = "300s"
        per_series_aligner = each.key == "errors" ? "ALIGN_RATE" : "ALIGN_MEAN"
      }
    }
  }

  documentation {
    content = "Runbook: docs/deploy/runbooks.md"
  }
}

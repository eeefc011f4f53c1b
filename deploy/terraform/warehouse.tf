# The BigQuery dataset. Its tables are made by Nexus, which owns their schema.

resource "google_bigquery_dataset" "warehouse" {
  dataset_id  = var.dataset
  location    = var.location
  description = "The Nexus warehouse: ingest_info, cell_info, feature_info, raw_counts."

  # Counts compress well: billing by physical bytes, deleted bytes of the time travel window included (docs/scale.md).
  storage_billing_model      = "PHYSICAL"
  max_time_travel_hours      = "48"
  delete_contents_on_destroy = false

  dynamic "default_encryption_configuration" {
    for_each = var.kms_key == "" ? [] : [var.kms_key]
    content {
      kms_key_name = default_encryption_configuration.value
    }
  }

  depends_on = [google_project_service.this, google_kms_crypto_key_iam_member.agents]
}

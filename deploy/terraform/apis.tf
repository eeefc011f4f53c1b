# The APIs that Nexus calls. They stay on when the deployment is destroyed: others in the project may use them.

locals {
  apis = [
    "aiplatform", "artifactregistry", "bigquery", "bigquerystorage", "billingbudgets", "cloudkms",
    "cloudresourcemanager", "compute", "iam", "iap", "logging", "monitoring", "run", "secretmanager",
    "servicenetworking", "serviceusage", "sqladmin", "storage",
  ]
}

resource "google_project_service" "this" {
  for_each           = toset(local.apis)
  project            = var.project
  service            = "${each.value}.googleapis.com"
  disable_on_destroy = false
}

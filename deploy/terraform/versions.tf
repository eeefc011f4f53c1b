# Terraform, its providers, and where its state is.

terraform {
  # 1.11 is the first with write-only arguments: the database password is in no state and no plan.
  required_version = ">= 1.11"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 6.50"
    }
    random = {
      source  = "hashicorp/random"
      version = "~> 3.7"
    }
  }

  # The bucket is made by hand, once: terraform init -backend-config=bucket=… (deploy/README.md).
  backend "gcs" {
    prefix = "nexus"
  }
}

provider "google" {
  project               = var.project
  region                = var.region
  default_labels        = local.labels
  billing_project       = var.project
  user_project_override = true
}

data "google_project" "this" {
  project_id = var.project
}

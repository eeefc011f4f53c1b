# What a person needs after an apply.

output "web_address" {
  description = "The A record of the domain and of view.<domain>."
  value       = google_compute_global_address.web.address
}

output "web" {
  description = "The two web UIs."
  value       = { for who, host in local.hosts : who => "https://${host}" }
}

output "images" {
  description = "The repository of the images; gcloud artifacts repositories describe shows its registry URI."
  value       = google_artifact_registry_repository.images.id
}

output "environment" {
  description = "The NEXUS_* environment: for nexus doctor and the command line on your own machine."
  value       = join("\n", [for name, value in local.nexus_environment : "export ${name}='${value}'"])
}

output "drop" {
  description = "Where source files are dropped."
  value       = "${local.nexus_environment.NEXUS_ROOT}/inbox/"
}

output "service_accounts" {
  description = "Who Nexus is."
  value = {
    dagster = google_service_account.dagster.email
    worker  = google_service_account.worker.email
    viewer  = google_service_account.viewer.email
  }
}

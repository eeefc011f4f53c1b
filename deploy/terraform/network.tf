# A network of its own: the containers reach the database over it, and Google's APIs without a public address.

resource "google_compute_network" "nexus" {
  name                    = local.name
  auto_create_subnetworks = false
  depends_on              = [google_project_service.this]
}

resource "google_compute_subnetwork" "nexus" {
  name                     = local.name
  network                  = google_compute_network.nexus.id
  region                   = var.region
  ip_cidr_range            = "10.20.0.0/20"
  private_ip_google_access = true
}

# The range in which Cloud SQL gives the database its private address.
resource "google_compute_global_address" "services" {
  name          = "${local.name}-services"
  purpose       = "VPC_PEERING"
  address_type  = "INTERNAL"
  prefix_length = 20
  network       = google_compute_network.nexus.id
}

resource "google_service_networking_connection" "services" {
  network                 = google_compute_network.nexus.id
  service                 = "servicenetworking.googleapis.com"
  reserved_peering_ranges = [google_compute_global_address.services.name]
}

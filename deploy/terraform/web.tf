# The way in: one address, TLS, and Identity-Aware Proxy before each of the two web UIs. Dagster has no users of its own.

resource "google_compute_global_address" "web" {
  name       = "${local.name}-web"
  depends_on = [google_project_service.this]
}

resource "google_compute_region_network_endpoint_group" "web" {
  for_each              = google_cloud_run_v2_service.web
  name                  = "${local.name}-web-${each.key}"
  region                = var.region
  network_endpoint_type = "SERVERLESS"

  cloud_run {
    service = each.value.name
  }
}

resource "google_compute_backend_service" "web" {
  for_each              = google_compute_region_network_endpoint_group.web
  name                  = "${local.name}-web-${each.key}"
  load_balancing_scheme = "EXTERNAL_MANAGED"
  protocol              = "HTTPS"

  backend {
    group = each.value.id
  }

  iap {
    enabled = true
  }

  log_config {
    enable      = true
    sample_rate = 1
  }
}

# The proxy itself calls the services, and nobody else does.
resource "google_cloud_run_v2_service_iam_member" "proxy" {
  for_each = google_cloud_run_v2_service.web
  location = each.value.location
  name     = each.value.name
  role     = "roles/run.invoker"
  member   = "serviceAccount:service-${local.number}@gcp-sa-iap.${local.agents}"
}

resource "google_iap_web_backend_service_iam_member" "operators" {
  for_each            = var.operators
  web_backend_service = google_compute_backend_service.web["operators"].name
  role                = "roles/iap.httpsResourceAccessor"
  member              = each.value
}

resource "google_iap_web_backend_service_iam_member" "viewers" {
  for_each            = setunion(var.viewers, var.operators)
  web_backend_service = google_compute_backend_service.web["viewers"].name
  role                = "roles/iap.httpsResourceAccessor"
  member              = each.value
}

resource "google_compute_url_map" "web" {
  name            = "${local.name}-web"
  default_service = google_compute_backend_service.web["viewers"].id

  dynamic "host_rule" {
    for_each = local.hosts
    content {
      hosts        = [host_rule.value]
      path_matcher = host_rule.key
    }
  }

  dynamic "path_matcher" {
    for_each = local.hosts
    content {
      name            = path_matcher.key
      default_service = google_compute_backend_service.web[path_matcher.key].id
    }
  }
}

resource "google_compute_managed_ssl_certificate" "web" {
  name = "${local.name}-web"

  managed {
    domains = values(local.hosts)
  }
}

resource "google_compute_target_https_proxy" "web" {
  name             = "${local.name}-web"
  url_map          = google_compute_url_map.web.id
  ssl_certificates = [google_compute_managed_ssl_certificate.web.id]
}

resource "google_compute_global_forwarding_rule" "web" {
  name                  = "${local.name}-web"
  load_balancing_scheme = "EXTERNAL_MANAGED"
  ip_address            = google_compute_global_address.web.id
  port_range            = "443"
  target                = google_compute_target_https_proxy.web.id
}

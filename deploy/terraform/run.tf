# What runs: two web UIs, the daemon (sensors, schedules, run queue), and the job whose executions are the runs.
# One image for all of them; they differ in the command, the service account and the rights.

locals {
  # The read-only UI cannot start anything: a flag of the server, a service account without rights, and people of its own.
  web = {
    operators = { account = google_service_account.dagster.email, flags = [] }
    viewers   = { account = google_service_account.viewer.email, flags = ["--read-only"] }
  }
}

resource "google_cloud_run_v2_service" "web" {
  for_each            = local.web
  name                = "${local.name}-web-${each.key}"
  location            = var.region
  ingress             = "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER"
  deletion_protection = true
  labels              = local.labels

  template {
    service_account = each.value.account
    timeout         = "3600s"
    # A page asks the instance that it asked before: it follows a run over one connection.
    session_affinity = true

    scaling {
      min_instance_count = 1
      max_instance_count = 3
    }

    vpc_access {
      egress = "PRIVATE_RANGES_ONLY"
      network_interfaces {
        network    = google_compute_network.nexus.id
        subnetwork = google_compute_subnetwork.nexus.id
      }
    }

    containers {
      image   = var.platform_image
      command = ["python"]
      args    = concat(["-P", "-m", "nexus_assets.web_server", "--host", "0.0.0.0", "--port", "8080", "--workspace", "/opt/dagster/workspace.yaml"], each.value.flags)

      ports {
        container_port = 8080
      }

      resources {
        limits            = { cpu = "2", memory = "4Gi" }
        cpu_idle          = false
        startup_cpu_boost = true
      }

      startup_probe {
        http_get {
          path = "/server_info"
        }
        period_seconds    = 10
        timeout_seconds   = 5
        failure_threshold = 24
      }

      liveness_probe {
        http_get {
          path = "/server_info"
        }
        period_seconds    = 30
        timeout_seconds   = 10
        failure_threshold = 4
      }

      dynamic "env" {
        # It answers to this name alone: a page of another site could give itself any other.
        for_each = merge(local.environment, { NEXUS_WEB_ADDRESS = "https://${local.hosts[each.key]}" })
        content {
          name  = env.key
          value = env.value
        }
      }

      env {
        name = "DAGSTER_POSTGRES_PASSWORD"
        value_source {
          secret_key_ref {
            secret  = google_secret_manager_secret.database_password.secret_id
            version = google_secret_manager_secret_version.database_password.version
          }
        }
      }
    }
  }

  depends_on = [google_secret_manager_secret_iam_member.database_password]
}

# One daemon, never two: a second one would find the heartbeat of the first and say so.
resource "google_cloud_run_v2_worker_pool" "daemon" {
  name                = "${local.name}-daemon"
  location            = var.region
  launch_stage        = "BETA"
  deletion_protection = true
  labels              = local.labels

  scaling {
    scaling_mode          = "MANUAL"
    manual_instance_count = 1
  }

  template {
    service_account = google_service_account.dagster.email

    vpc_access {
      egress = "PRIVATE_RANGES_ONLY"
      network_interfaces {
        network    = google_compute_network.nexus.id
        subnetwork = google_compute_subnetwork.nexus.id
      }
    }

    containers {
      image   = var.platform_image
      command = ["dagster-daemon"]
      args    = ["run", "--workspace", "/opt/dagster/workspace.yaml"]

      resources {
        limits = { cpu = "2", memory = "4Gi" }
      }

      dynamic "env" {
        for_each = local.environment
        content {
          name  = env.key
          value = env.value
        }
      }

      env {
        name = "DAGSTER_POSTGRES_PASSWORD"
        value_source {
          secret_key_ref {
            secret  = google_secret_manager_secret.database_password.secret_id
            version = google_secret_manager_secret_version.database_password.version
          }
        }
      }
    }
  }

  depends_on = [google_secret_manager_secret_iam_member.database_password]
}

# The run worker. The launcher gives each execution the arguments of its run; Dagster, not Cloud Run, tries again.
resource "google_cloud_run_v2_job" "run" {
  name                = "${local.name}-run"
  location            = var.region
  deletion_protection = true
  labels              = local.labels

  template {
    task_count  = 1
    parallelism = 1

    template {
      service_account = google_service_account.dagster.email
      max_retries     = 0
      timeout         = "${var.run_timeout_hours * 3600}s"

      vpc_access {
        egress = "PRIVATE_RANGES_ONLY"
        network_interfaces {
          network    = google_compute_network.nexus.id
          subnetwork = google_compute_subnetwork.nexus.id
        }
      }

      containers {
        image   = var.platform_image
        command = ["dagster"]
        args    = ["--version"]

        resources {
          limits = { cpu = "2", memory = var.run_memory }
        }

        dynamic "env" {
          for_each = local.environment
          content {
            name  = env.key
            value = env.value
          }
        }

        env {
          name = "DAGSTER_POSTGRES_PASSWORD"
          value_source {
            secret_key_ref {
              secret  = google_secret_manager_secret.database_password.secret_id
              version = google_secret_manager_secret_version.database_password.version
            }
          }
        }
      }
    }
  }

  depends_on = [google_secret_manager_secret_iam_member.database_password]
}

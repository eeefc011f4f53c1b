# What differs between two deployments. Everything else is the same in all of them.

variable "project" {
  description = "Id of the Google Cloud project. It must exist and have billing."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project))
    error_message = "A project id has 6 to 30 lowercase letters, digits and hyphens, and begins with a letter."
  }
}

variable "region" {
  description = "Region of Vertex AI, Cloud Run and Cloud SQL, such as europe-west4."
  type        = string

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "A region looks like europe-west4; a zone or a multi-region is not one."
  }
}

variable "location" {
  description = "Location of the bucket and of the BigQuery dataset: EU, US, or a region. Both are the same, or nothing loads."
  type        = string

  validation {
    condition     = can(regex("^(EU|US|[a-z]+-[a-z]+[0-9]+)$", var.location))
    error_message = "A location is EU, US or a region such as europe-west4."
  }
}

variable "environment" {
  description = "Name of this deployment, in the names and labels of everything: production, staging."
  type        = string
  default     = "production"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,15}$", var.environment))
    error_message = "An environment has 2 to 16 lowercase letters, digits and hyphens."
  }
}

variable "prefix" {
  description = "Folder in the data bucket below which everything is."
  type        = string
  default     = "nexus"

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$", var.prefix))
    error_message = "A prefix is a relative path of letters, digits, hyphens and underscores, without a slash at its ends."
  }
}

variable "dataset" {
  description = "Id of the BigQuery dataset."
  type        = string
  default     = "nexus"

  validation {
    condition     = can(regex("^[A-Za-z0-9_]+$", var.dataset))
    error_message = "A BigQuery dataset id has letters, digits and underscores only."
  }
}

variable "platform_image" {
  description = "Platform image by digest (deploy/Dockerfile): <registry URI of the repository>/platform@sha256:…"
  type        = string

  validation {
    condition     = can(regex("@sha256:[0-9a-f]{64}$", var.platform_image))
    error_message = "Name the platform image by its digest (…@sha256:<64 hex digits>), so that an upgrade is a change that shows."
  }
}

variable "worker_image" {
  description = "Worker image by digest (deploy/worker.Dockerfile)."
  type        = string

  validation {
    condition     = can(regex("@sha256:[0-9a-f]{64}$", var.worker_image))
    error_message = "Name the worker image by its digest (…@sha256:<64 hex digits>), so that an upgrade is a change that shows."
  }
}

variable "domain" {
  description = "Host name of the web UI; its DNS record points to the output web_address. The read-only one is view.<domain>."
  type        = string

  validation {
    condition     = can(regex("^([a-z0-9]([a-z0-9-]*[a-z0-9])?\\.)+[a-z]{2,}$", var.domain))
    error_message = "A domain is a full host name in lowercase, such as nexus.example.org."
  }
}

variable "operators" {
  description = "Who may use the web UI with all it can do, as IAM members: group:atlas-operators@example.org."
  type        = set(string)

  validation {
    condition     = length(var.operators) > 0 && alltrue([for member in var.operators : can(regex("^(user|group):[^@ ]+@[^@ ]+$", member))])
    error_message = "Operators are IAM members user:… or group:…, at least one; allUsers and whole domains are refused."
  }
}

variable "viewers" {
  description = "Who may look at the read-only web UI, as IAM members."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for member in var.viewers : can(regex("^(user|group):[^@ ]+@[^@ ]+$", member))])
    error_message = "Viewers are IAM members user:… or group:…; allUsers and whole domains are refused."
  }
}

variable "data_writers" {
  description = "Who may drop source files, sidecars, feature schemas and specifications, as IAM members."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for member in var.data_writers : can(regex("^(user|group|serviceAccount):[^@ ]+@[^@ ]+$", member))])
    error_message = "Data writers are IAM members user:…, group:… or serviceAccount:…."
  }
}

variable "data_readers" {
  description = "Who may read curricula and query the warehouse, as IAM members."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for member in var.data_readers : can(regex("^(user|group|serviceAccount):[^@ ]+@[^@ ]+$", member))])
    error_message = "Data readers are IAM members user:…, group:… or serviceAccount:…."
  }
}

variable "billing_account" {
  description = "Billing account of the project, as 012345-6789AB-CDEF01, for the budget."
  type        = string

  validation {
    condition     = can(regex("^[0-9A-F]{6}-[0-9A-F]{6}-[0-9A-F]{6}$", var.billing_account))
    error_message = "A billing account looks like 012345-6789AB-CDEF01."
  }
}

variable "monthly_budget" {
  description = "Budget of a month, in whole units of the billing account's currency. It warns; it stops nothing."
  type        = number

  validation {
    condition     = var.monthly_budget >= 1 && floor(var.monthly_budget) == var.monthly_budget
    error_message = "The budget is a whole number of 1 or more."
  }
}

variable "alert_email" {
  description = "Where warnings go: the budget, a daemon that is silent, a disk that fills."
  type        = string

  validation {
    condition     = can(regex("^[^@ ]+@[^@ ]+$", var.alert_email))
    error_message = "An e-mail address is needed."
  }
}

variable "labels" {
  description = "Labels on everything that can have one, and on every Vertex job and BigQuery job (NEXUS_LABELS)."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for key, value in var.labels : can(regex("^[a-z][a-z0-9_-]{0,62}$", key)) && can(regex("^[a-z0-9_-]{0,63}$", value))])
    error_message = "Labels have lowercase letters, digits, hyphens and underscores, at most 63; keys begin with a letter."
  }
}

variable "kms_key" {
  description = "Customer-managed key for bucket, dataset, database and pipelines: projects/…/cryptoKeys/…; empty for Google's."
  type        = string
  default     = ""

  validation {
    condition     = var.kms_key == "" || can(regex("^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+$", var.kms_key))
    error_message = "A key is projects/<p>/locations/<l>/keyRings/<r>/cryptoKeys/<k>, or empty."
  }
}

variable "pipeline_network" {
  description = "Network that pipeline tasks are peered with: projects/<number>/global/networks/<name>; empty for Google's own."
  type        = string
  default     = ""

  validation {
    condition     = var.pipeline_network == "" || can(regex("^projects/[0-9]+/global/networks/[^/]+$", var.pipeline_network))
    error_message = "Vertex AI wants projects/<project number>/global/networks/<name>, or empty."
  }
}

variable "spot" {
  description = "Whether pipeline tasks run on spot machines first (NEXUS_SPOT)."
  type        = bool
  default     = false

  validation {
    condition     = !var.spot || var.spot_launcher_image != ""
    error_message = "Spot machines need spot_launcher_image, an image of google-cloud-pipeline-components."
  }
}

variable "spot_launcher_image" {
  description = "Image of Google's launcher of custom jobs, google-cloud-pipeline-components, for spot machines; else empty."
  type        = string
  default     = ""

  validation {
    condition     = !can(regex("[[:space:]]", var.spot_launcher_image))
    error_message = "The name of an image has no spaces."
  }
}

variable "settings" {
  description = "Further settings of Nexus: NEXUS_WORKERS, the threads of a task, should be the cores of its machine."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for name in keys(var.settings) : can(regex("^NEXUS_[A-Z_]+$", name))])
    error_message = "Settings are named NEXUS_… in capitals."
  }
}

variable "client_calls" {
  description = "Who loads and plans: the dagster process, or a pipeline task; the worker gets the rights it needs for the latter."
  type        = string
  default     = "dagster"

  validation {
    condition     = contains(["dagster", "pipeline"], var.client_calls)
    error_message = "client_calls is dagster or pipeline."
  }
}

variable "machines" {
  description = "Machine of each pipeline component (NEXUS_MACHINES)."
  type = map(object({
    cpu               = optional(number)
    memory            = optional(string)
    accelerator       = optional(string)
    accelerator_count = optional(number)
    machine_type      = optional(string)
    parallelism       = optional(number)
    service_account   = optional(string)
  }))
  default = {}
}

variable "maximum_bytes_billed" {
  description = "A query that would scan more is refused by BigQuery (NEXUS_MAXIMUM_BYTES_BILLED)."
  type        = number
  default     = 1099511627776

  validation {
    condition     = var.maximum_bytes_billed >= 10485760
    error_message = "BigQuery bills at least 10 MiB a query; a smaller limit refuses every query."
  }
}

variable "database_tier" {
  description = "Machine of the Cloud SQL instance."
  type        = string
  default     = "db-custom-2-7680"
}

variable "database_highly_available" {
  description = "Whether the database has a standby in another zone (twice the price)."
  type        = bool
  default     = false
}

variable "database_password_version" {
  description = "Raise it by one to give the database a new password; see the runbook."
  type        = number
  default     = 1

  validation {
    condition     = var.database_password_version >= 1 && floor(var.database_password_version) == var.database_password_version
    error_message = "A version is a whole number of 1 or more."
  }
}

variable "run_timeout_hours" {
  description = "How long a run may take before Cloud Run ends its process (its pipeline job goes on; the retry attaches to it)."
  type        = number
  default     = 24

  validation {
    condition     = var.run_timeout_hours >= 1 && var.run_timeout_hours <= 168
    error_message = "Cloud Run allows a task 1 to 168 hours."
  }
}

variable "run_memory" {
  description = "Memory of a run's container. Its disk is memory too: a plan's files lie there until they are in the bucket."
  type        = string
  default     = "8Gi"

  validation {
    condition     = can(regex("^([1-9]|[12][0-9]|3[0-2])Gi$", var.run_memory))
    error_message = "Memory is 1Gi to 32Gi; above 8Gi Cloud Run wants more than two cores."
  }
}

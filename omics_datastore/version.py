"""The version of Nexus that manifests and releases record. Nothing else."""

NEXUS_VERSION = "0.1.0"

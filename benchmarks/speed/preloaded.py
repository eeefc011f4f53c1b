"""What the processes of the Nexus contestant import; a server process imports it once and forks them."""

import anndata  # noqa: F401
import duckdb  # noqa: F401

import omics_datastore.curriculum.extract
import omics_datastore.curriculum.plan
import omics_datastore.ingest.create
import omics_datastore.ingest.inbox
import omics_datastore.warehouse.folder  # noqa: F401

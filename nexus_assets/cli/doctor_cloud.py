"""What ``nexus doctor`` looks at on Google Cloud, each with how to mend it. It makes nothing that stays."""

import os
import shutil
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from nexus_assets.cli.session import Session
from omics_datastore.errors import InputError
from omics_datastore.storage.cloud_storage import CloudStore, scratch_root
from omics_datastore.storage.object_store import AlreadyExistsError

_SCRATCH_BYTES = 10 * 2**30
_CONTINENTS = {"EU": "europe-", "US": "us-", "ASIA": "asia-"}
"""Multi-regions, and how the regions in them begin."""
_PROBE = ".scratch/doctor"


@dataclass(frozen=True)
class ComplaintError(Exception):
    """Say what is wrong and how to mend it."""

    message: str


def _credentials(session: Session) -> str:  # noqa: ARG001
    if os.environ.get("STORAGE_EMULATOR_HOST"):
        return "none needed: emulators are used"
    import google.auth
    from google.auth.exceptions import DefaultCredentialsError

    try:
        credentials, project = google.auth.default()
    except DefaultCredentialsError as error:
        raise ComplaintError(
            "there are no Google Cloud credentials; run 'gcloud auth application-default login', or give this machine "
            "a service account."
        ) from error
    account = getattr(credentials, "service_account_email", None) or type(credentials).__name__
    return f"{account} of {project or 'no project'}"


def _places(session: Session) -> str:
    """Bucket, warehouse and pipelines must be near each other: BigQuery loads only from its own location."""
    settings = session.settings
    location = settings.location.upper()
    near = (
        settings.region.startswith(_CONTINENTS[location])
        if location in _CONTINENTS
        else (location.lower() == settings.region)
    )
    if not near:
        raise ComplaintError(
            f"pipelines in {settings.region} would read everything from {location} across regions, which is billed; "
            "choose NEXUS_REGION within NEXUS_LOCATION."
        )
    return f"{settings.project}: data in {location}, pipelines in {settings.region}"


def _bucket(session: Session) -> str:
    store = _cloud_store(session)
    location, wanted = store.location().upper(), session.settings.location.upper()
    if location != wanted:
        raise ComplaintError(
            f"the bucket {store.bucket_name} lies in {location} and NEXUS_LOCATION is {wanted}; BigQuery loads only "
            "from its own location: set NEXUS_LOCATION, or make a bucket there."
        )
    return f"{store.root} in {location}"


def _writing(session: Session) -> str:
    store = _cloud_store(session)
    key = f"{_PROBE}-{uuid.uuid4().hex}"
    try:
        store.write(key, b"nexus doctor", new=True)
        try:
            store.write(key, b"nexus doctor", new=True)
        except AlreadyExistsError:
            return "objects are written, on conditions, and deleted"
        raise ComplaintError(f"{store.root} does not keep preconditions; it cannot hold the data of Nexus.")
    finally:
        store.delete(key)


def _scratch(session: Session) -> str:  # noqa: ARG001
    folder = scratch_root()
    free = shutil.disk_usage(folder if folder.exists() else folder.parent).free
    if free < _SCRATCH_BYTES:
        raise ComplaintError(
            f"{free / 2**30:.1f} GiB are free in {folder}; source files and shards pass through it: set TMPDIR to a "
            "folder with 10 GiB or more."
        )
    return f"{free / 2**30:.0f} GiB free in {folder}"


def _dataset(session: Session) -> str:
    from google.api_core.exceptions import NotFound

    from nexus_resources.deployment import warehouse_uri
    from omics_datastore.warehouse.bigquery_address import parse_address
    from omics_datastore.warehouse.bigquery_clients import open_client
    from omics_datastore.warehouse.bigquery_errors import explained

    address = parse_address(warehouse_uri(session.settings))
    name = f"{address.project}.{address.dataset}"
    try:
        with explained(address):
            location = str(open_client(address).get_dataset(name).location).upper()
    except NotFound:
        return f"{name} is not there yet; the first load makes it in {address.location}"
    except InputError as error:
        if isinstance(error.__cause__, NotFound):
            return f"{name} is not there yet; the first load makes it in {address.location}"
        raise
    if location != address.location.upper():
        raise ComplaintError(
            f"the BigQuery dataset {name} lies in {location} and NEXUS_LOCATION is {address.location}; set "
            "NEXUS_LOCATION, or name another NEXUS_BIGQUERY_DATASET."
        )
    return f"{name} in {location}"


def _vertex(session: Session) -> str:
    from nexus_resources.deployment import deployment_resources
    from nexus_resources.pipelines.errors import TransientServiceError
    from nexus_resources.pipelines.labels import INSTANCE
    from nexus_resources.pipelines.resource import PipelinesResource

    pipelines = deployment_resources(session.settings)["pipelines"]
    assert isinstance(pipelines, PipelinesResource)  # noqa: S101 - by its name
    try:
        pipelines.runner().active_jobs({INSTANCE: "nexus-doctor"})
    except TransientServiceError as error:
        raise ComplaintError(
            f"Vertex AI in {session.settings.region} does not answer ({error}); try again, or check NEXUS_REGION."
        ) from error
    return f"Vertex AI answers in {session.settings.region}"


def _image(session: Session) -> str:
    image = session.settings.worker_image
    name = image.rpartition("/")[2]
    if ":" not in name and "@" not in name:
        raise ComplaintError(f"NEXUS_WORKER_IMAGE={image!r} has no tag or digest; name the version of the workers.")
    return image


def _cloud_store(session: Session) -> CloudStore:
    store = session.store
    assert isinstance(store, CloudStore)  # noqa: S101 - the settings of a deployment on Google Cloud say so
    return store


CLOUD_CHECKS: dict[str, Callable[[Session], str]] = {
    "credentials": _credentials,
    "locations": _places,
    "bucket": _bucket,
    "bucket writes": _writing,
    "scratch space": _scratch,
    "bigquery dataset": _dataset,
    "vertex ai": _vertex,
    "worker image": _image,
}

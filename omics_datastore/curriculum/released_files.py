"""What lies beside the shards of a released version: each file has the SHA-256 that the release says, or is refused."""

import hashlib

from omics_datastore.curriculum.release_model import CurriculumRelease
from omics_datastore.errors import CorruptionError
from omics_datastore.storage.layout import EXTRACT_METADATA, GENES, MEASURED_GENES, RELEASE
from omics_datastore.storage.object_store import ObjectStore


def released_files(release: CurriculumRelease) -> dict[str, str]:
    """List the files that the release names besides the shards.

    :param release: The release.
    :return: SHA-256 by the file's place below the folder of the version.
    """
    files = {GENES: release.genes_sha256, EXTRACT_METADATA: release.extract_metadata_sha256}
    if release.measured_genes_sha256 is not None:
        files[MEASURED_GENES] = release.measured_genes_sha256
    return files | {split.extract_metadata: split.extract_metadata_sha256 for split in release.splits}


def read_released(store: ObjectStore, folder: str, release: CurriculumRelease, file: str) -> bytes:
    """Read one of these files.

    :param store: Object store.
    :param folder: Folder of the version, with a slash at its end; empty when the store's root is that folder.
    :param release: The release.
    :param file: One of :func:`released_files`.
    :return: Its content.
    :raise FileNotFoundError: When it is gone.
    :raise CorruptionError: When it is not what was released.
    """
    content = store.read(f"{folder}{file}")
    if hashlib.sha256(content).hexdigest() != released_files(release)[file]:
        raise CorruptionError(
            f"{store.uri(folder + file)} does not match its checksum in {RELEASE}; build the curriculum again, which "
            "mends it."
        )
    return content


def damaged_shard(address: str) -> CorruptionError:
    """Return the error of a shard that is not what was released.

    :param address: Where it lies.
    :return: The error.
    """
    return CorruptionError(
        f"{address} does not match its checksum in {RELEASE}; delete it, then build the curriculum again."
    )

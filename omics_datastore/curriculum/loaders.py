"""Ready programs that load a curriculum, for its release. The folder is left to the reader to fill in."""

from itertools import accumulate

from omics_datastore.curriculum.plan_model import CurriculumPlan
from omics_datastore.curriculum.release_model import CurriculumRelease
from omics_datastore.storage.layout import curriculum_folder, shard_file
from omics_datastore.storage.object_store import ObjectStore

_CELLARIUM = """\
from cellarium.ml.data import DistributedAnnDataCollection

folder = "{folder}"  # a path, or gs://bucket/prefix/{folder}
collection = DistributedAnnDataCollection(
    filenames=folder + "/extract_files/extract_{{{first:06d}..{last:06d}}}.h5ad",
    {sizes},
    max_cache_size={cache},
)
"""

_ANNBATCH = """\
from annbatch import DatasetCollection, Loader

folder = "{folder}"
collection = DatasetCollection(folder + "/extract_files/collection.zarr", mode="r")
loader = Loader(batch_size=4096, chunk_size=256, preload_nchunks=64, shuffle=True).use_collection(collection)
"""

_ANNDATA = """\
import anndata

folder = "{folder}"
shard = anndata.{read}(folder + "/{first_file}")
"""

_MEASURED = """\
import numpy as np
import pandas as pd

folder = "{folder}"
table = pd.read_parquet(folder + "/measured_genes.parquet").set_index("ingest_id")["measured"]
measured = np.stack(table)[table.index.get_indexer(shard.obs["ingest_id"])]  # cells x genes; False: a zero says nothing
"""

_ANNDATA_BUCKET = """\
import anndata
from google.cloud import storage

folder = "{folder}"
with open("{first_name}", "wb") as file:
    storage.Client().download_blob_to_file(folder + "/extract_files/{first_name}", file)
shard = anndata.read_h5ad("{first_name}")
"""


def loader_snippets(plan: CurriculumPlan) -> dict[str, str]:
    """Write the programs.

    :param plan: The plan.
    :return: Python source by library: ``anndata``, and ``cellarium-ml`` or ``annbatch``, as the format has
        it. ``measured genes`` goes on from ``anndata``.
    """
    folder = curriculum_folder(plan.name, plan.version).rstrip("/")
    last = plan.bins[-1]
    sizes = f"shard_size={plan.bin_size},\n    last_shard_size={last.cells}"
    if any(item.cells != plan.bin_size for item in plan.bins[:-1]):
        sizes = f"limits={list(accumulate(item.cells for item in plan.bins))}"
    cellarium = _CELLARIUM.format(
        folder=folder,
        first=0,
        last=last.bin,
        sizes=sizes,
        cache=min(3, len(plan.bins)),
    )
    is_zarr = plan.file_format == "zarr"
    first = shard_file(0, plan.file_format)
    programs = {"annbatch": _ANNBATCH.format(folder=folder)} if is_zarr else {"cellarium-ml": cellarium}
    programs["anndata"] = _ANNDATA.format(folder=folder, read="read_zarr" if is_zarr else "read_h5ad", first_file=first)
    if plan.measured_sha256:
        programs["measured genes"] = _MEASURED.format(folder=folder)
    return programs


def placed_loader(release: CurriculumRelease, library: str, store: ObjectStore) -> str:
    """Return a program with the folder filled in, ready to run where the store can be read.

    :param release: The release; its own programs name the folder below the root, so that its bytes tell no place.
    :param library: One that the release has a program for.
    :param store: Object store of the shards.
    :return: Python source.
    """
    folder = curriculum_folder(release.name, release.version).rstrip("/")
    address = store.uri(folder)
    first = release.shards[0].file
    if library == "anndata" and address.startswith("gs://") and first.endswith(".h5ad"):
        # anndata opens files, not addresses.
        return _ANNDATA_BUCKET.format(folder=address, first_name=first.rpartition("/")[2]).strip()
    return release.loaders[library].replace(f'"{folder}"', f'"{address}"').strip()

"""Ready programs that load a curriculum, for its release. The folder is left to the reader to fill in."""

import json
from itertools import accumulate

from omics_datastore.curriculum.plan_model import CurriculumPlan
from omics_datastore.curriculum.release_model import CurriculumRelease, ReleasedSplit
from omics_datastore.errors import InputError
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

_ANNBATCH_SPLIT = """\
import anndata
import zarr
from annbatch import Loader

folder = "{folder}"
collection = zarr.open_group(folder + "/extract_files/collection.zarr", mode="r")
shards = [collection[f"dataset_{{number:06d}}"] for number in range({first}, {end})]
loader = Loader(batch_size=4096, chunk_size=256, preload_nchunks=64, shuffle=True).add_adatas(
    [
        anndata.AnnData(
            anndata.io.sparse_dataset(shard["X"]),
            obs=anndata.io.read_elem(shard["obs"]),
            var=anndata.io.read_elem(shard["var"]),
        )
        for shard in shards
    ]
)
"""

_ANNDATA = """\
import anndata

folder = "{folder}"
shard = anndata.{read}(folder + "/{first_file}")
"""

_NEXUS = """\
from omics_datastore.training.reader import CurriculumReader

folder = "{folder}"
for batch in CurriculumReader(folder, batch_size=4096, seed=0{split}):
    batch.counts, batch.cells, batch.obs
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


def loader_snippets(plan: CurriculumPlan, split: str | None = None) -> dict[str, str]:
    """Write the programs.

    :param plan: The plan.
    :param split: The split to load; by default the whole.
    :return: Python source by library: ``anndata``, ``nexus``, and ``cellarium-ml`` or ``annbatch``, as the format has
        it. ``measured-genes`` goes on from ``anndata``.
    """
    folder = curriculum_folder(plan.name, plan.version).rstrip("/")
    bins = plan.bins_of(split)
    last = bins[-1]
    sizes = f"shard_size={plan.bin_size},\n    last_shard_size={last.cells}"
    if any(item.cells != plan.bin_size for item in bins[:-1]):
        sizes = f"limits={list(accumulate(item.cells for item in bins))}"
    cellarium = _CELLARIUM.format(
        folder=folder,
        first=bins[0].bin,
        last=last.bin,
        sizes=sizes,
        cache=min(3, len(bins)),
    )
    is_zarr = plan.file_format == "zarr"
    first = shard_file(bins[0].bin, plan.file_format)
    annbatch = _ANNBATCH if split is None else _ANNBATCH_SPLIT
    programs = {"cellarium-ml": cellarium}
    if is_zarr:
        programs = {"annbatch": annbatch.format(folder=folder, first=bins[0].bin, end=last.bin + 1)}
    programs["anndata"] = _ANNDATA.format(folder=folder, read="read_zarr" if is_zarr else "read_h5ad", first_file=first)
    programs["nexus"] = _NEXUS.format(folder=folder, split=f', split="{split}"' if split else "")
    if plan.measured_sha256:
        programs["measured-genes"] = _MEASURED.format(folder=folder)
    return programs


def placed_loader(release: CurriculumRelease, library: str, store: ObjectStore, split: str | None = None) -> str:
    """Return a program with the folder filled in, ready to run where the store can be read.

    :param release: The release; its own programs name the folder below the root, so that its bytes tell no place.
    :param library: One that the release has a program for.
    :param store: Object store of the shards.
    :param split: The split to load; by default the whole.
    :return: Python source.
    :raise InputError: When there is no such split, or no program for the library.
    """
    folder = curriculum_folder(release.name, release.version).rstrip("/")
    address = store.uri(folder)
    loaders = release.loaders if split is None else _split_of(release, split).loaders
    first = next(shard.file for shard in release.shards if split in (None, shard.split))
    if library == "anndata" and address.startswith("gs://") and first.endswith(".h5ad"):
        # anndata opens files, not addresses.
        return _ANNDATA_BUCKET.format(
            folder=json.dumps(address, ensure_ascii=False)[1:-1], first_name=first.rpartition("/")[2]
        ).strip()
    if library not in loaders:
        raise InputError(f"{release.name} is not loaded with {library!r}; there are {', '.join(loaders)}.")
    return loaders[library].replace(f'"{folder}"', json.dumps(address, ensure_ascii=False)).strip()


def _split_of(release: CurriculumRelease, split: str) -> ReleasedSplit:
    for each in release.splits:
        if each.name == split:
            return each
    names = ", ".join(each.name for each in release.splits) or "none"
    raise InputError(f"the curriculum {release.name} has no split {split!r}; there are {names}.")

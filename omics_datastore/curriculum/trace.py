"""From a cell of a shard back to where it came from: dataset, source file, checksum, row, citation.

Only the release beside the shards and the shards themselves are read, so a copy of the folder elsewhere is enough.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import accumulate
from pathlib import Path

from pydantic import BaseModel

from omics_datastore.curriculum.release_model import CurriculumRelease
from omics_datastore.curriculum.released_files import damaged_shard
from omics_datastore.curriculum.shard_files import is_file_shard, local_shard, open_shard, path_sha256
from omics_datastore.errors import CorruptionError, InputError
from omics_datastore.keys import make_curriculum_partition
from omics_datastore.storage.documents import parse_document
from omics_datastore.storage.layout import RELEASE, curriculum_folder
from omics_datastore.storage.object_store import ObjectStore


class CellOrigin(BaseModel):
    """Where one cell of a curriculum came from; ``source_row`` counts the cells of the source file from 0."""

    curriculum: str
    cell: str
    shard: str
    shard_row: int
    ingest_id: str
    dataset: str
    source_uri: str
    source_sha256: str
    source_row: int
    original_id: str
    citation: str | None


def trace_in_store(release: CurriculumRelease, cells: Sequence[str], store: ObjectStore) -> list[CellOrigin]:
    """Trace cells of a release in the store.

    :param release: The release.
    :param cells: Names of cells, as the shards' ``obs_names`` have them.
    :param store: Object store of the shards.
    :return: One origin a cell, in the order asked.
    :raise InputError: When the curriculum has no such cell, or the shard is gone.
    :raise CorruptionError: When the shard is not what was released.
    """
    folder = curriculum_folder(release.name, release.version)
    ends = list(accumulate(shard.cells for shard in release.shards))
    asked: dict[int, list[str]] = {}
    for cell in cells:
        if not (cell.isascii() and cell.isdecimal() and int(cell) < release.total_cells):
            raise InputError(
                f"{make_curriculum_partition(release.name, release.version)} has no cell {cell!r}: its cells are "
                f"called 0 to {release.total_cells - 1}."
            )
        asked.setdefault(next(number for number, end in enumerate(ends) if int(cell) < end), []).append(cell)
    found: dict[str, CellOrigin] = {}
    for number, names in asked.items():
        file = release.shards[number].file
        for origin in _trace(release, file, names, lambda file=file: local_shard(store, f"{folder}{file}")):  # type: ignore[misc]
            found[origin.cell] = origin
    return [found[cell] for cell in cells]


def trace_in_shard(path: Path, cells: Sequence[str]) -> list[CellOrigin]:
    """Trace cells of a shard, with the release that lies beside its folder.

    :param path: The shard, an ``.h5ad`` file or a zarr group, in a copy of a curriculum's folder.
    :param cells: Names of cells, as the shard's ``obs_names`` have them.
    :return: One origin a cell, in the order asked.
    :raise InputError: When the shard or its release is not there, or the shard has no such cell.
    :raise CorruptionError: When the shard or its release is not what was released.
    """
    path = path.resolve()
    beside = path.parents[1 if is_file_shard(path.name) else 2] / RELEASE
    try:
        release = parse_document(beside.read_bytes(), str(beside), CurriculumRelease)
    except FileNotFoundError:
        raise InputError(f"{path} has no release: there is no {beside}, which says where its cells are from.") from None
    except OSError as error:
        raise InputError(f"{beside} cannot be read ({error.strerror}).") from error
    file = path.relative_to(beside.parent).as_posix()
    return _trace(release, file, cells, lambda: nullcontext(path))


def _trace(
    release: CurriculumRelease,
    file: str,
    cells: Sequence[str],
    opened: Callable[[], AbstractContextManager[Path]],
) -> list[CellOrigin]:
    import anndata

    try:
        with opened() as path:
            if path_sha256(path) != {shard.file: shard.sha256 for shard in release.shards}.get(file):
                raise damaged_shard(file)
            with open_shard(path) as opened_shard:
                obs = anndata.io.read_elem(opened_shard["obs"])
    except (OSError, KeyError) as error:
        raise InputError(f"the shard {file} cannot be read ({error}); build the curriculum again.") from error
    rows = {str(name): row for row, name in enumerate(obs.index)}
    ingests = {ingest.ingest_id: ingest for ingest in release.ingests}
    origins = []
    for cell in cells:
        if cell not in rows:
            first, last = obs.index[0], obs.index[-1]
            raise InputError(f"the shard {file} has no cell {cell!r}: its cells are called {first} to {last}.")
        row = obs.iloc[rows[cell]]
        ingest = ingests.get(str(row["ingest_id"]))
        if ingest is None:
            raise CorruptionError(f"cell {cell} of {file} is of ingest {row['ingest_id']}, which the release lacks.")
        origins.append(
            CellOrigin(
                curriculum=make_curriculum_partition(release.name, release.version),
                cell=cell,
                shard=file,
                shard_row=rows[cell],
                ingest_id=ingest.ingest_id,
                dataset=ingest.dataset,
                source_uri=ingest.source_uri,
                source_sha256=ingest.source_sha256,
                source_row=int(row["cell_index"]),
                original_id=str(row["original_id"]),
                citation=ingest.citation,
            )
        )
    return origins

"""Whatever files, order, grouping and features: a curriculum gives back the counts and obs of its sources."""

import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
from hypothesis import strategies as st

from omics_datastore.curriculum.feature_schema import add_feature_schema
from omics_datastore.curriculum.specification import CurriculumSpecification
from omics_datastore.ingest.configuration import DatasetConfig
from omics_datastore.ingest.create import create_ingest_files
from omics_datastore.ingest.manifest import SourceFile, read_manifest
from omics_datastore.warehouse.parquet_layout import BULK_LOAD
from tests.contracts.warehouse_contract import World as Place
from tests.omics_datastore.curriculum.curriculum_world import COMMITTED, World, build, open_world, read_shards, tree
from tests.source_files import make_source
from tests.source_strategies import EXTRA, GENES, DrawnSource, drawn_sources

OBS = ("cell_type", "donor_id", "tissue", "is_primary_data", "dataset")


@dataclass(frozen=True)
class Drawn:
    """Source files with their datasets, and what is asked of them."""

    sources: list[tuple[str, DrawnSource]]
    specification: CurriculumSpecification
    schema: list[str] | None

    def genes(self) -> list[str]:
        """Return the genes that the curriculum must have, in order."""
        if self.schema is not None:
            return self.schema
        sets = [set(source.genes) for _, source in self.sources]
        kept = set.intersection(*sets) if self.specification.features == "intersection" else set.union(*sets)
        return sorted(kept)


@st.composite
def drawn(draw: st.DrawFn) -> Drawn:
    """Draw one to three files and a specification of which some gene was measured."""
    datasets = st.sampled_from(["lung", "brain"])
    sources = draw(st.lists(st.tuples(datasets, drawn_sources()), min_size=1, max_size=3))
    measured = {gene for _, source in sources for gene in source.genes}
    common = set.intersection(*(set(source.genes) for _, source in sources))
    features = draw(st.sampled_from(["union", "schema", *(["intersection"] if common else [])]))
    schema = None
    if features == "schema":
        schema = draw(st.lists(st.sampled_from(GENES), min_size=1, unique=True).filter(measured.intersection))
    group_by = draw(st.sampled_from([[], [], ["cell_type"], ["dataset", "donor_id"], ["metadata_extra.batch"]]))
    asked = {
        "name": "any",
        "primary_only": False,
        "features": features,
        "bin_size": draw(st.integers(1, 9)),
        "obs_columns": list(OBS),
        "metadata_extra_columns": list(EXTRA),
        "order": draw(st.sampled_from(["store", "exact"])),
        "seed": draw(st.integers(0, 99)),
        "group_by": group_by,
        "category_limit": draw(st.sampled_from([1, 2000])),
        "output": {"format": draw(st.sampled_from(["h5ad", "h5ad", "h5ad", "zarr"]))},
    }
    return Drawn(sources, CurriculumSpecification.model_validate(asked), schema)


def comes_back(case: Drawn, place: Place | None = None) -> None:
    """Ingest the files, build the curriculum and compare every count and every obs value.

    :param case: Files and specification.
    :param place: A warehouse in BigQuery that must give the same bytes, if there is one.
    """
    folder = Path(tempfile.mkdtemp(prefix="nexus-round-trip-"))
    try:
        world = open_world(folder)
        ids = _fill(world, case)
        build(world, case.specification)
        _compare(case, ids, _shards(world, case))
        if place is not None:
            google = World(place.store, place.open(), {}, BULK_LOAD)  # type: ignore[arg-type]
            assert _fill(google, case) == ids
            build(google, case.specification)
            assert tree(google, "any") == tree(world, "any")
            shutil.rmtree(google.root / "extracts")
    finally:
        shutil.rmtree(folder)


def _fill(world: World, case: Drawn) -> list[str]:
    ids = []
    for number, (dataset, source) in enumerate(case.sources):
        key = f"inbox/{dataset}/{number}.h5ad"
        path = make_source(
            world.store.path(key), source.counts, source.layout, where=source.where, obs=source.obs, var=source.var
        )
        file = SourceFile(key=key, uri=f"inbox://{key}", size=path.stat().st_size, generation="1")
        counts_from = source.where if source.where.startswith("layers") else "auto"
        config = DatasetConfig(feature_ids="any", counts_from=counts_from)
        report = create_ingest_files(file, dataset, config, world.store, layout=world.layout)
        assert not report.errors, report.errors
        assert report.ingest_id is not None
        ids.append(report.ingest_id)
    manifests = {each: read_manifest(world.store, each.partition("@")[0], each) for each in ids}
    world.warehouse.load(list(manifests.values()), COMMITTED)
    if case.schema is not None and not (world.root / "feature_schemas/schema.csv").exists():
        content = pd.DataFrame({"ensembl_id": case.schema}).to_csv(index=False)
        add_feature_schema(world.store, "schema", content.encode())
    return ids


def _shards(world: World, case: Drawn) -> list[ad.AnnData]:
    if case.specification.output.format == "h5ad":
        return read_shards(world, "any")
    groups = sorted((world.root / "extracts/any/v1/extract_files/collection.zarr").glob("dataset_*"))
    return [ad.read_zarr(path) for path in groups]


def _compare(case: Drawn, ids: list[str], shards: list[ad.AnnData]) -> None:
    numbers = {each: number for number, each in reversed(list(enumerate(ids)))}
    genes = case.genes()
    cells = []
    for shard in shards:
        assert shard.var_names.tolist() == genes
        matrix = np.asarray(shard.X.toarray())
        plain = {name for name in shard.obs if not isinstance(shard.obs[name].dtype, pd.CategoricalDtype)}
        for row in range(shard.n_obs):
            obs = shard.obs.iloc[row]
            source = case.sources[numbers[obs["ingest_id"]]][1]
            cell = int(obs["cell_index"])
            cells.append((obs["ingest_id"], cell))
            expected = dict(zip(source.genes, source.counts[cell].tolist(), strict=True))
            assert matrix[row].tolist() == [expected.get(gene, 0) for gene in genes]
            assert obs["total_mrna_umis"] == source.counts[cell].sum()
            assert obs["original_id"] == source.obs.index[cell]
            for name in ("cell_type", "donor_id", "tissue", "is_primary_data", *EXTRA):
                found = obs[name]
                _same(found, source.value(cell, name), (name, cell), plain=name in plain)
        if case.specification.group_by:
            keys = [name.removeprefix("metadata_extra.") for name in case.specification.group_by]
            assert len(shard.obs[keys].astype(str).drop_duplicates()) == 1
        assert 0 < shard.n_obs <= case.specification.bin_size
    expected_cells = [
        (each, cell) for each, number in numbers.items() for cell in range(len(case.sources[number][1].obs))
    ]
    assert sorted(cells) == sorted(expected_cells)


def _same(found: Any, wanted: Any, where: Any, *, plain: bool) -> None:
    missing = found is pd.NA or found is None or (isinstance(found, float) and np.isnan(found))
    if wanted is None:
        assert missing or (plain and found == ""), where
    elif isinstance(wanted, str | bool | np.bool_) and not isinstance(found, str):
        assert not missing, where
        assert bool(found) == wanted, where
    elif isinstance(wanted, str):
        assert found == wanted, where
    elif isinstance(wanted, bool | np.bool_):
        assert found == str(bool(wanted)).lower(), where
    elif isinstance(wanted, float | np.floating):
        assert type(wanted)(json.loads(found)) == wanted, where
    else:
        assert int(found) == wanted, where

"""In an environment with cellarium-ml: its command line trains one pass over releases, and must have seen every count.

Run by ``tests.training`` with the folders of releases; says what it saw on standard output, as JSON. Nothing of Nexus
is imported.
"""

import contextlib
import csv
import json
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

_FIELDS = {
    "x_ng": {"attr": "X", "convert_fn": "cellarium.ml.utilities.data.densify"},
    "var_names_g": {"attr": "var_names"},
}
_CELL_TYPE = {
    "y_n": {"attr": "obs", "key": "cell_type", "convert_fn": "cellarium.ml.utilities.data.categories_to_codes"},
    "y_categories": {"attr": "obs", "key": "cell_type", "convert_fn": "cellarium.ml.utilities.data.get_categories"},
}


def main(folders: list[Path]) -> list[str]:
    """Train on each release.

    :param folders: Folders of releases.
    :return: What was seen.
    """
    lines = []
    for folder in folders:
        with tempfile.TemporaryDirectory() as scratch, contextlib.redirect_stdout(sys.stderr):
            place = f"{folder.parent.name}, cellarium-ml {version('cellarium-ml')}"
            lines.append(f"{place}: {_means(folder, Path(scratch))}")
            lines.append(f"{place}: {_components(folder, Path(scratch))}")
            lines.append(f"{place}: {_cell_types(folder, Path(scratch))}")
    return lines


def _means(folder: Path, scratch: Path) -> str:
    """Learn mean and variance of every gene in one pass; sums below 2**24 are exact in float32."""
    expected = json.loads((folder / "expected.json").read_text())
    out = scratch / "means.csv"
    model = {"class_path": "cellarium.ml.models.OnePassMeanVarStd", "init_args": {"output_path": str(out)}}
    _fit("onepass_mean_var_std", folder, scratch, model, {}, {"max_epochs": 1}, workers=2)
    rows = list(csv.DictReader(out.open()))
    mean = np.array([row["mean_g"] for row in rows], np.float32)
    total = np.array(expected["total_per_gene"], np.float32)
    _require(
        bool((mean == total / np.float32(expected["cells"])).all()), "the mean of a gene is not that of the sources"
    )
    squares = np.array(expected["squares_per_gene"]) / expected["cells"]
    variance = squares - (np.array(expected["total_per_gene"]) / expected["cells"]) ** 2
    learned = np.array([row["var_g"] for row in rows], np.float64)
    _require(np.allclose(learned, variance, rtol=1e-4), "the variance of a gene is not that of the sources")
    return f"one pass learned the exact mean of {len(mean)} genes over {expected['cells']} cells"


def _components(folder: Path, scratch: Path) -> str:
    model = {"class_path": "cellarium.ml.models.IncrementalPCA", "init_args": {"n_components": 5}}
    state = _fit("incremental_pca", folder, scratch, model, {}, {"max_epochs": 1}, workers=0)
    cells = json.loads((folder / "expected.json").read_text())["cells"]
    _require(int(state["pipeline.0.x_size"]) == cells, "incremental PCA did not see every cell")
    _require(bool(torch.isfinite(state["pipeline.0.V_kg"]).all()), "incremental PCA learned nothing")
    return f"incremental PCA saw {cells} cells"


def _cell_types(folder: Path, scratch: Path) -> str:
    model = {"class_path": "cellarium.ml.models.LogisticRegression", "init_args": {"W_prior_scale": 1.0}}
    state = _fit("logistic_regression", folder, scratch, model, _CELL_TYPE, {"max_epochs": 2}, workers=0)
    weights = state["pipeline.0.W_gc"]
    types = json.loads((folder / "extract_metadata.json").read_text())["category_metadata"]["cell_type"]
    _require(weights.shape[1] == len(types), "logistic regression knows other cell types")
    _require(bool(torch.isfinite(weights).all()), "logistic regression learned nothing")
    return f"logistic regression trained {tuple(weights.shape)} weights for {', '.join(types)}"


def _fit(
    command: str,
    folder: Path,
    scratch: Path,
    model: dict[str, Any],
    fields: dict[str, Any],
    trainer: dict[str, Any],
    *,
    workers: int,
) -> dict[str, Any]:
    """Train by the command line and return the state of the checkpoint that it leaves."""
    from cellarium.ml.cli import main as cellarium_ml

    metadata = json.loads((folder / "extract_metadata.json").read_text())
    collection = {
        "filenames": [str(folder / name) for name in metadata["filenames"]],
        "limits": metadata["limits"],
        "max_cache_size": 3,
    }
    dadc = "cellarium.ml.data.DistributedAnnDataCollection"
    config = {
        "model": {"model": model},
        "data": {
            "dadc": {"class_path": dadc, "init_args": collection},
            "batch_keys": {**_FIELDS, **fields},
            "batch_size": 50,
            "num_workers": workers,
            "shuffle": True,
        },
        "trainer": {
            "accelerator": "cpu",
            "devices": 1,
            "default_root_dir": str(scratch / command),
            "enable_progress_bar": False,
            "logger": False,
            **trainer,
        },
    }
    path = scratch / f"{command}.yaml"
    path.write_text(yaml.safe_dump(config))
    cellarium_ml([command, "fit", "--config", str(path)])
    (checkpoint,) = (scratch / command).rglob("*.ckpt")
    state: dict[str, Any] = torch.load(checkpoint, weights_only=False)["state_dict"]
    return state


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise SystemExit(otherwise)


if __name__ == "__main__":
    print(json.dumps(main([Path(folder) for folder in sys.argv[1:]])))  # noqa: T201 - read by tests.training

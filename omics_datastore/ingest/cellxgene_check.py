"""What cellxgene-schema says of a source file, as findings; kept by content, so that a file is not checked twice."""

import contextlib
from pathlib import Path

from omics_datastore.errors import CorruptionError, InputError
from omics_datastore.ingest.cellxgene_gate import CellxgeneGate, CellxgeneVerdict, missing
from omics_datastore.ingest.configuration import DatasetConfig
from omics_datastore.ingest.manifest import Finding
from omics_datastore.ingest.refusal import CELLXGENE, CELLXGENE_UNCHECKED, RefusedSourceError
from omics_datastore.keys import digest
from omics_datastore.storage.documents import read_document, write_document
from omics_datastore.storage.layout import cellxgene_key
from omics_datastore.storage.object_store import ObjectStore


def asked_version(config: DatasetConfig, gate: CellxgeneGate | None) -> str | None:
    """Return the version of cellxgene-schema that a dataset asks for.

    :param config: Configuration of the dataset.
    :param gate: The validator.
    :return: The version; ``None`` when the dataset does not ask for it.
    :raise InputError: When it asks and there is none.
    """
    if config.validation.cellxgene_schema == "off":
        return None
    if gate is None:
        raise InputError(missing("no Python is set"))
    return gate.version()


def check_cellxgene(
    store: ObjectStore, dataset: str, config: DatasetConfig, gate: CellxgeneGate, sha256: str, path: Path | None
) -> list[Finding]:
    """Check a source file as its dataset asks.

    :param store: Object store.
    :param dataset: Dataset key.
    :param config: Configuration of the dataset, which says ``warn`` or ``block``.
    :param gate: The validator.
    :param sha256: SHA-256 of the source file.
    :param path: The file as ``.h5ad``; ``None`` when it is of another kind.
    :return: Warnings.
    :raise RefusedSourceError: With ``block``, for every error.
    """
    verdict = _verdict(store, dataset, gate, sha256, path)
    name = f"cellxgene-schema {verdict.version}"
    if verdict.failed is not None:
        rule, errors = CELLXGENE_UNCHECKED, [f"{name} could not check the file: {verdict.failed}; run again."]
    else:
        rule, errors = CELLXGENE, [f"{name}: {text}" for text in verdict.errors]
    if errors and config.validation.cellxgene_schema == "block":
        first, *others = (RefusedSourceError(rule, message) for message in errors)
        raise RefusedSourceError(rule, str(first), others)
    findings = [Finding(rule=rule, severity="warning", message=message) for message in errors]
    warnings = [f"{name}: {text}" for text in verdict.warnings]
    return findings + [Finding(rule=CELLXGENE, severity="warning", message=message) for message in warnings]


def _verdict(store: ObjectStore, dataset: str, gate: CellxgeneGate, sha256: str, path: Path | None) -> CellxgeneVerdict:
    version = gate.version()
    if path is None:
        text = "the source is no .h5ad file, and no other kind is checked; write it as one, or take the gate off."
        return CellxgeneVerdict(version=version, errors=[text])
    key = cellxgene_key(dataset, digest([sha256, version])[:32])
    with contextlib.suppress(FileNotFoundError, CorruptionError):
        return read_document(store, key, CellxgeneVerdict)
    verdict = gate.check(path)
    if verdict.failed is None:
        write_document(store, key, verdict)
    return verdict

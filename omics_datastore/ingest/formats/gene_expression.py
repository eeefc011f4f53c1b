"""Which features of a 10x source are genes: other types (antibodies, guides, peaks) are left out, and said so."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from omics_datastore.ingest.manifest import Finding
from omics_datastore.ingest.refusal import RefusedSourceError

GENE_EXPRESSION = "Gene Expression"
FEATURE_TYPE = "feature_type"


@dataclass(frozen=True)
class GeneFeatures:
    """The features that are kept.

    ``ids`` and ``columns`` are of those only; ``place`` int32 (features of the source,) is the column of each now,
    -1 when it is left out; ``findings`` warn of what is.
    """

    ids: list[str]
    columns: dict[str, list[str]]
    place: NDArray[np.int32]
    findings: list[Finding]

    def select(
        self, lengths: NDArray[np.int64], columns: NDArray[np.int32]
    ) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.bool_] | None]:
        """Leave out the entries of other features.

        :param lengths: int64 (rows,), entries of each row.
        :param columns: int32 (n,), features of the source.
        :return: Lengths and columns of what is kept, and which entries are (``None``: all).
        """
        if len(self.ids) == len(self.place):
            return lengths, columns, None
        places = self.place[columns]
        kept = places >= 0
        before = np.concatenate([np.zeros(1, np.int64), np.cumsum(kept)])
        ends = np.cumsum(lengths)
        return before[ends] - before[ends - lengths], places[kept], kept


def keep_genes(ids: Sequence[str], columns: Mapping[str, Sequence[str]]) -> GeneFeatures:
    """Keep the features of the type Gene Expression; all, when the source tells no types.

    :param ids: Feature ids.
    :param columns: Columns of text, as long as the ids.
    :return: What is kept.
    :raise RefusedSourceError: When nothing is.
    """
    types = columns.get(FEATURE_TYPE)
    kept = np.array([True] * len(ids) if types is None else [kind == GENE_EXPRESSION for kind in types], bool)
    others = Counter([] if types is None else [kind for kind in types if kind != GENE_EXPRESSION])
    counted = ", ".join(f"{count} of {kind!r}" for kind, count in sorted(others.items()))
    if others and not kept.any():
        raise RefusedSourceError(
            "not_empty", f"no feature has the type {GENE_EXPRESSION!r}, there are only {counted}; give gene counts."
        )
    findings = []
    if others:
        message = f"{sum(others.values())} features that are no genes were left out: {counted}."
        findings.append(Finding(rule="feature_types", severity="warning", message=message))
    chosen = np.flatnonzero(kept)
    place = np.full(len(ids), -1, np.int32)
    place[chosen] = np.arange(len(chosen), dtype=np.int32)
    return GeneFeatures(
        [ids[row] for row in chosen.tolist()],
        {name: [values[row] for row in chosen.tolist()] for name, values in columns.items()},
        place,
        findings,
    )

"""Why a source file is refused: an input error with the rule it broke. All rules are listed here."""

from collections.abc import Sequence

from omics_datastore.errors import InputError
from omics_datastore.ingest.manifest import Finding

CELLXGENE = "cellxgene-schema"
CELLXGENE_UNCHECKED = "cellxgene-unchecked"
"""The validator of another project says what it says, or could not say anything."""

RULES = (
    "readable",
    "size_limit",
    "not_empty",
    "matrix_structure",
    "counts",
    "feature_ids",
    "feature_types",
    "column_mapping",
    "required_obs",
    "unique_cell_names",
    "cells_have_counts",
    "ontology_terms",
    "reserved_columns",
    "unreadable_columns",
    "uns_kept",
    CELLXGENE,
    CELLXGENE_UNCHECKED,
)
"""Every rule, in the order in which a report lists them."""


class RefusedSourceError(InputError):
    """Refuse a source file.

    :param rule: The rule it breaks, one of :data:`RULES`.
    :param message: One sentence: what, where, how to mend it.
    :param others: Further refusals of the same file.
    """

    def __init__(self, rule: str, message: str, others: Sequence["RefusedSourceError"] = ()) -> None:
        super().__init__(message)
        self.rule = rule
        self.others = tuple(others)

    def findings(self) -> list[Finding]:
        """Return the refusal and the further ones as findings of a report."""
        own = Finding(rule=self.rule, severity="error", message=str(self))
        return [own, *(finding for other in self.others for finding in other.findings())]


def sort_findings(findings: list[Finding]) -> list[Finding]:
    """Order findings: errors first, then by rule.

    :param findings: Findings of one file.
    :return: A new list.
    """
    return sorted(findings, key=lambda finding: (finding.severity != "error", RULES.index(finding.rule)))

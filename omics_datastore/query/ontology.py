"""``descendant_of``: ontology terms and all that is below them, read from files of an installed package, offline.

The terms become values of an ``in`` before any SQL is written, and are kept with what was made from them, so that it
can be made again when the ontologies have moved on. Organisms are listed here: the package needs 3 GB to know them.
"""

import difflib
from functools import cache
from typing import Any

from pydantic import BaseModel, ConfigDict

from omics_datastore.errors import InputError
from omics_datastore.query.filters import AllOf, AnyOf, CellFilter, Condition, NotOf, Part
from omics_datastore.query.organisms import ORGANISMS, TAXA

SUFFIX = "_ontology_term_id"
_ANATOMY = ("ZFA", "FBbt", "WBbt")
COLUMN_ONTOLOGIES = {
    "assay": ("EFO",),
    "cell_type": ("CL", *_ANATOMY),
    "development_stage": ("HsapDv", "MmusDv", "FBdv", "WBls", "ZFS", "UBERON"),
    "disease": ("MONDO", "PATO"),
    "organism": ("NCBITaxon",),
    "self_reported_ethnicity": ("HANCESTRO", "AfPO"),
    "sex": ("PATO",),
    "tissue": ("UBERON", "CL", "CVCL", *_ANATOMY),
}
"""The ontologies whose terms a column may hold (CELLxGENE schema 7), the usual one first."""

MOST_TERMS = 30_000
"""Terms that one filter may come to: half a megabyte of a statement, of which BigQuery takes one."""


class OntologyTerms(BaseModel):
    """Terms with all that is below them, themselves included, and the version of the ontologies that say so."""

    model_config = ConfigDict(frozen=True)

    version: str
    terms: dict[str, tuple[str, ...]]


def ontology_terms(cell_filter: CellFilter) -> OntologyTerms | None:
    """Look up the terms that a filter names with ``descendant_of``.

    :param cell_filter: The filter.
    :return: The terms; ``None`` when there are none.
    :raise InputError: When a column holds no terms, a term is unknown (the message proposes others), or the package
        with the ontologies is not installed.
    """
    named = [condition for condition in cell_filter.leaves() if condition.op == "descendant_of"]
    if not named:
        return None
    terms: dict[str, tuple[str, ...]] = {}
    versions: set[str] = set()
    for condition in named:
        ontologies = _column_ontologies(condition)
        for term in _values(condition):
            terms[term] = _descendants(condition, term, ontologies)
            versions.add(term.partition(":")[0])
    number = sum(len(below) for below in terms.values())
    if number > MOST_TERMS:
        raise InputError(
            f"{', '.join(terms)} and what is below are {number} terms, more than the {MOST_TERMS} that a statement "
            "can hold; name narrower terms."
        )
    return OntologyTerms(version=_version(versions), terms=dict(sorted(terms.items())))


def with_terms(cell_filter: CellFilter, terms: OntologyTerms | None) -> CellFilter:
    """Write ``descendant_of`` as ``in``.

    :param cell_filter: The filter.
    :param terms: Its terms, from :func:`ontology_terms`, now or when it was used first.
    :return: The filter without ``descendant_of``.
    :raise KeyError: When a term is not among them.
    """
    if terms is None:
        return cell_filter
    return CellFilter(conditions=tuple(_with_terms(part, terms) for part in cell_filter.conditions))


def _with_terms(part: Condition | AnyOf | AllOf | NotOf, terms: OntologyTerms) -> Part:
    if isinstance(part, AnyOf):
        return AnyOf(any=tuple(_with_terms(item, terms) for item in part.any))
    if isinstance(part, AllOf):
        return AllOf(all=tuple(_with_terms(item, terms) for item in part.all))
    if isinstance(part, NotOf):
        return NotOf.model_validate({"not": _with_terms(part.part, terms)})
    if part.op != "descendant_of":
        return part
    below = sorted({term for value in _values(part) for term in terms.terms[value]})
    return Condition.model_validate({"column": part.column, "op": "in", "value": below})


def _values(condition: Condition) -> tuple[str, ...]:
    assert isinstance(condition.value, tuple)  # noqa: S101
    return tuple(str(value) for value in condition.value)


def _column_ontologies(condition: Condition) -> tuple[str, ...]:
    name = condition.column.removesuffix(SUFFIX)
    if condition.column.endswith(SUFFIX) and name in COLUMN_ONTOLOGIES:
        return COLUMN_ONTOLOGIES[name]
    near = difflib.get_close_matches(name.lower(), COLUMN_ONTOLOGIES, n=1, cutoff=0.6)
    those = near or list(COLUMN_ONTOLOGIES)
    raise InputError(
        f"{condition.column} descendant_of: the column holds no ontology terms; use "
        f"{' or '.join(f'{other}{SUFFIX}' for other in those)}."
    )


def _descendants(condition: Condition, term: str, ontologies: tuple[str, ...]) -> tuple[str, ...]:
    place = f"{condition.column} descendant_of {term!r}"
    prefix = term.partition(":")[0]
    if prefix not in ontologies:
        raise InputError(f"{place}: {_instead(term, ontologies)}.")
    if prefix == "NCBITaxon":
        if term in TAXA:
            return tuple(sorted(TAXA[term]))
        known = ", ".join(f"{number} ({name})" for number, name in ORGANISMS.items())
        raise InputError(f"{place}: is no organism of the CELLxGENE schema, which has {known}.")
    parser = _parser()
    if not parser.is_valid_term_id(term):
        raise InputError(f"{place}: is not a term of {_version({prefix})}{_near_id(term, ontologies)}.")
    return tuple(sorted(parser.get_term_descendants(term, include_self=True)))


def _instead(term: str, ontologies: tuple[str, ...]) -> str:
    """Say what a text is that is no term of the column."""
    words = f"the column holds terms of {', '.join(ontologies)}"
    again = term.strip().replace("_", ":", 1)
    for ontology in ontologies:
        if again.lower().startswith(f"{ontology.lower()}:"):
            return f"{words}; did you mean {ontology}:{again.partition(':')[2]}"
    if ":" in term:
        return words
    labels = {name.lower(): (number, name) for number, name in reversed(_labels(ontologies))}
    near = difflib.get_close_matches(term.lower(), labels, n=3, cutoff=0.7)
    if not near:
        return f"is not the id of a term; {words}, for example {ontologies[0]}:0000000"
    return f"is not the id of a term; did you mean {' or '.join(f'{labels[n][0]} ({labels[n][1]})' for n in near)}"


def _near_id(term: str, ontologies: tuple[str, ...]) -> str:
    ids = {number: name for number, name in _labels(ontologies) if number[:3] == term[:3]}
    near = difflib.get_close_matches(term, ids, n=2, cutoff=0.8)
    return f"; did you mean {' or '.join(f'{number} ({ids[number]})' for number in near)}" if near else ""


def _labels(ontologies: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return ids and labels of the usual ontology of a column."""
    if ontologies[0] == "NCBITaxon":
        return list(ORGANISMS.items())
    found: dict[str, str] = _parser().get_term_label_to_id_map(ontologies[0])
    return [(number, label) for label, number in found.items() if label]


def _version(prefixes: set[str]) -> str:
    """Return the versions of ontologies in words; organisms have that of this module."""
    known = sorted(prefixes - {"NCBITaxon"})
    if not known:
        return "CELLxGENE schema 7"
    schema = _parser().cxg_schema
    parts = []
    for prefix in known:
        name = _parser()._get_supported_ontology_name(prefix) or prefix  # noqa: SLF001
        parts.append(f"{name} {schema.supported_ontologies[name]['version']}")
    return f"{', '.join(dict.fromkeys(parts))} of CELLxGENE schema {schema.version}"


@cache
def _parser() -> Any:
    try:
        from cellxgene_ontology_guide.ontology_parser import OntologyParser
    except ImportError as error:
        raise InputError(
            "descendant_of needs the ontologies of the package cellxgene-ontology-guide, which is not installed; "
            "install Nexus with its extra 'ontology'."
        ) from error
    return OntologyParser()

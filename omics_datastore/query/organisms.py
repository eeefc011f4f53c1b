"""The organisms that the CELLxGENE schema allows and the larger taxa they belong to, by NCBI Taxonomy id."""

ORGANISMS = {
    "NCBITaxon:6239": "Caenorhabditis elegans",
    "NCBITaxon:7227": "Drosophila melanogaster",
    "NCBITaxon:7955": "Danio rerio",
    "NCBITaxon:9483": "Callithrix jacchus",
    "NCBITaxon:9541": "Macaca fascicularis",
    "NCBITaxon:9544": "Macaca mulatta",
    "NCBITaxon:9595": "Gorilla gorilla gorilla",
    "NCBITaxon:9598": "Pan troglodytes",
    "NCBITaxon:9606": "Homo sapiens",
    "NCBITaxon:9823": "Sus scrofa",
    "NCBITaxon:9986": "Oryctolagus cuniculus",
    "NCBITaxon:10090": "Mus musculus",
    "NCBITaxon:10116": "Rattus norvegicus",
    "NCBITaxon:30608": "Microcebus murinus",
}
"""Names by id: the values of ``organism_ontology_term_id``."""

_GREAT_APES = ("9595", "9598", "9606")
_MACAQUES = ("9541", "9544")
_PRIMATES = (*_GREAT_APES, *_MACAQUES, "9483", "30608")
_RODENTS = ("10090", "10116")
_MAMMALS = (*_PRIMATES, *_RODENTS, "9823", "9986")
_VERTEBRATES = (*_MAMMALS, "7955")
_GROUPS = {
    "9539": _MACAQUES,  # Macaca
    "9604": _GREAT_APES,  # Hominidae
    "9443": _PRIMATES,
    "9989": _RODENTS,  # Rodentia
    "40674": _MAMMALS,  # Mammalia
    "7742": _VERTEBRATES,  # Vertebrata
    "33208": (*_VERTEBRATES, "6239", "7227"),  # Metazoa
}

TAXA: dict[str, frozenset[str]] = {
    **{organism: frozenset({organism}) for organism in ORGANISMS},
    **{
        f"NCBITaxon:{taxon}": frozenset({f"NCBITaxon:{taxon}", *(f"NCBITaxon:{number}" for number in members)})
        for taxon, members in _GROUPS.items()
    },
}
"""Organisms by taxon, each taxon itself included."""

"""Gene ids: what counts as an Ensembl id, of any species, and how its version is taken off.

Forms: Ensembl stable ids (``ENS``, species letters, ``G``, eleven digits), mouse strains (``MGP_…``), and the
ids Ensembl takes over from FlyBase, WormBase and SGD; ERCC spike-ins, which CELLxGENE allows beside them.
"""

import polars as pl

_STABLE_ID = (
    r"^(?:ENS[A-Z]*G\d{11}(?:_PAR_Y)?|MGP_[A-Za-z0-9]+_G\d{7}|FBgn\d{7}|WBGene\d{8}"
    r"|Y[A-P][LR]\d{3}[WC](?:-[A-Z])?|Q\d{4}|ERCC-\d{5})$"
)
_VERSION = r"^((?:ENS[A-Z]*G\d{11})|(?:MGP_[A-Za-z0-9]+_G\d{7}))\.\d+(_PAR_Y)?$"


def strip_version(ids: pl.Series) -> pl.Series:
    """Take the version off Ensembl ids: ``ENSG00000182378.15_PAR_Y`` becomes ``ENSG00000182378_PAR_Y``.

    :param ids: Text series of ids.
    :return: Series of the same length; what is not a versioned Ensembl id stays as it is.
    """
    return ids.str.replace(_VERSION, "${1}${2}")


def is_ensembl(ids: pl.Series) -> pl.Series:
    """Tell which ids are Ensembl ids of some species.

    :param ids: Text series of ids without version.
    :return: Boolean series; null where the id is null.
    """
    return ids.str.contains(_STABLE_ID)

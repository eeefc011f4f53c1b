"""Source files that hypothesis makes: layouts of the matrix, cells and genes of every kind that people drop."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.source_files import KINDS, Layout

LARGEST = {"int32": 2**31 - 1, "int64": 2**31 - 1, "float64": 2**31 - 1, "float32": 2**24, "uint16": 65535, "bool": 1}
GENES = ("ENSG00000000001", "ENSG00000000002", "MT-CO1", "gène", "ключ", "a b", "基因", "ENSMUSG00000000003")
LARGEST_EXTRACTED = 2**24
"""The largest count that a shard holds exactly."""

_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=4)
_SINGLE, _DOUBLE = st.floats(allow_infinity=False, width=32), st.floats(allow_infinity=False, width=64)
_LABELS = st.one_of(st.none(), _TEXT, st.sampled_from(["T cell", "it's", 'a "b"', "β", "null", "nan", "True", "1"]))
EXTRA = ("batch", "ключ . 'x'", "n", "score", "flag", "Größe")
"""Names of obs columns that no table has."""


@dataclass(frozen=True)
class DrawnSource:
    """A source file before it is written: dense counts, obs and genes, and how the file holds them."""

    counts: NDArray[np.int64]
    obs: pd.DataFrame
    genes: list[str]
    layout: Layout
    where: str

    @property
    def var(self) -> pd.DataFrame:
        return pd.DataFrame(index=pd.Index(self.genes, dtype=object))

    def value(self, cell: int, column: str) -> Any:
        """Return a value of obs; ``None`` where there is none."""
        if column not in self.obs:
            return None
        value = self.obs[column].iloc[cell]
        return None if pd.isna(value) else value  # a single-precision NaN is no float of Python


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    kind = draw(st.sampled_from(KINDS))
    shapes = st.sampled_from([None, (1000, 1), (1, 1000), (2, 3), (3, 1000)])
    return Layout(
        kind=kind,
        dtype=draw(st.sampled_from(sorted(LARGEST))),
        compression=draw(st.sampled_from([None, "gzip", "lzf"])),
        shuffle=draw(st.booleans()),
        chunks=draw(shapes) if kind == "dense" else draw(st.sampled_from([None, 1, 3, 7, 1000])),
        index_dtype=draw(st.sampled_from(["int32", "int64"])),
        disordered=draw(st.booleans()),
        split=draw(st.booleans()),
        zeros=draw(st.booleans()),
    )


@st.composite
def drawn_sources(draw: st.DrawFn) -> DrawnSource:
    """Draw a source file."""
    layout = draw(layouts())
    cells = draw(st.integers(1, 8))
    genes = draw(st.lists(st.sampled_from(GENES), min_size=1, unique=True))
    most = min(LARGEST[layout.dtype], LARGEST_EXTRACTED)
    value = st.sampled_from([0, 0, 0, 1, 2, 7, 70_000, most]).map(lambda count: min(count, most))
    counts = draw(st.lists(value, min_size=cells * len(genes), max_size=cells * len(genes)))
    where = draw(st.sampled_from(["X", "raw.X", "layers/counts"]))
    matrix = np.array(counts, np.int64).reshape(cells, len(genes))
    return DrawnSource(matrix, draw(_frames(cells)), genes, layout, where)


@st.composite
def _frames(draw: st.DrawFn, cells: int) -> pd.DataFrame:
    names = draw(st.lists(_TEXT, min_size=cells, max_size=cells))  # some may be empty, or there twice
    columns: dict[str, Any] = {}
    for name in draw(st.lists(st.sampled_from(["cell_type", "donor_id", "tissue"]), unique=True)):
        columns[name] = draw(_texts(cells))
    if draw(st.booleans()):
        columns["is_primary_data"] = draw(_booleans(cells))
    for name in draw(st.lists(st.sampled_from(EXTRA), unique=True)):
        columns[name] = draw(st.one_of(_texts(cells), _booleans(cells), _integers(cells), _floats(cells)))
    return pd.DataFrame(columns, index=pd.Index(names, dtype=object))


@st.composite
def _texts(draw: st.DrawFn, cells: int) -> Any:
    labels = draw(st.lists(_LABELS, min_size=cells, max_size=cells))
    if None not in labels and draw(st.booleans()):
        return np.array(labels, dtype=object)
    return pd.Categorical(labels)


@st.composite
def _booleans(draw: st.DrawFn, cells: int) -> Any:
    values = draw(st.lists(st.sampled_from([True, False, None]), min_size=cells, max_size=cells))
    return pd.array(values, dtype="boolean") if None in values else np.array(values, bool)


@st.composite
def _integers(draw: st.DrawFn, cells: int) -> Any:
    numbers = st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(-3, 3))
    if draw(st.booleans()):
        values = draw(st.lists(st.one_of(st.none(), numbers), min_size=cells, max_size=cells))
        return pd.array(values, dtype="Int64")
    return np.array(draw(st.lists(numbers, min_size=cells, max_size=cells)), np.int64)


@st.composite
def _floats(draw: st.DrawFn, cells: int) -> Any:
    numbers, dtype = draw(st.sampled_from([(_SINGLE, "float32"), (_DOUBLE, "float64")]))
    return np.array(draw(st.lists(numbers, min_size=cells, max_size=cells)), dtype)

"""Feature schemas: named, ordered gene lists, kept as CSV files under ``feature_schemas/``.

A name stands for the same genes for good. Whoever uses a schema first registers its digest, so that a file that was
damaged or edited since is not taken for the schema of that name.
"""

import difflib
import io
from dataclasses import dataclass

import polars as pl
from pydantic import BaseModel

from omics_datastore.errors import InputError
from omics_datastore.ingest.feature_ids import strip_version
from omics_datastore.keys import KEY_PATTERN, check_key, digest
from omics_datastore.storage.documents import read_document, read_written, write_document
from omics_datastore.storage.layout import (
    FEATURE_SCHEMAS,
    SPECIFICATIONS,
    feature_schema_key,
    registered_schema_key,
)
from omics_datastore.storage.object_store import AlreadyExistsError, ObjectStore

UNION, INTERSECTION = "union", "intersection"
COMPUTED = (UNION, INTERSECTION)
"""What ``features`` of a specification may say instead of a schema's name."""

_ID_COLUMNS = ("ensembl_id", "ensemble_id")
_NAMED = 5
MOST_SCHEMA_BYTES = 64 * 2**20
"""What a CSV file of genes may have; ten times the largest annotation with all of its columns."""
_FORMULA = r"^(?:[=@\t\r]|[+-].)"
"""What a spreadsheet takes for something to compute: no gene begins so, and what is exported is opened in one."""


@dataclass(frozen=True)
class FeatureSchema:
    """A named, ordered gene list: ``features`` has ``feature_id`` and ``feature_name`` (null where not given)."""

    name: str
    features: pl.DataFrame

    def digest(self) -> str:
        """Return the digest of ids and names in order.

        :return: 64 hexadecimal digits.
        """
        return features_digest(self.features)


class RegisteredSchema(BaseModel):
    """What a feature schema was when it was first used."""

    digest: str


def features_digest(features: pl.DataFrame) -> str:
    """Return the digest of a list of features.

    :param features: Columns ``feature_id`` and ``feature_name``.
    :return: 64 hexadecimal digits.
    """
    return digest([features["feature_id"].to_list(), features["feature_name"].to_list()])


def parse_feature_schema(name: str, content: bytes) -> FeatureSchema:
    """Read and check a feature schema.

    :param name: Name of the schema.
    :param content: CSV in UTF-8 with a column ``ensembl_id`` (or ``ensemble_id``) and, if there is one, ``symbol``;
        other columns are ignored. Versions of Ensembl ids are taken off.
    :return: The schema, in the order of the file.
    :raise InputError: When the file is empty, no CSV, lacks the column, or an id is missing or there twice.
    """
    where = f"feature schema {check_name(name)}"
    table = _read_csv(where, content)
    column = next((known for known in _ID_COLUMNS if known in table.columns), None)
    if column is None:
        raise InputError(
            f"{where} has no column ensembl_id, only {', '.join(map(repr, table.columns[:_NAMED]))}; "
            "name the column with the gene ids ensembl_id and separate columns by commas."
        )
    ids = strip_version(_text(table[column]))
    if not len(ids):
        raise InputError(f"{where} lists no gene; put one gene a line below the column names.")
    missing = ids.is_null()
    if missing.any():
        raise InputError(
            f"{where} has no {column} in {missing.sum()} of {len(ids)} rows, first in row "
            f"{(missing.arg_max() or 0) + 1} below the column names; fill it in or remove the row."
        )
    repeated = ids.filter(ids.is_duplicated()).unique(maintain_order=True)
    if len(repeated):
        more = ", …" if len(repeated) > _NAMED else ""
        raise InputError(
            f"{where} lists {len(repeated)} genes more than once (versions do not count): "
            f"{', '.join(repeated[:_NAMED].to_list())}{more}; keep one row of each."
        )
    _refuse_formulas(where, column, ids)
    nothing = pl.Series([None] * len(ids), dtype=pl.String)
    names = _text(table["symbol"]) if "symbol" in table.columns else nothing
    _refuse_formulas(where, "symbol", names)
    return FeatureSchema(name, pl.DataFrame({"feature_id": ids, "feature_name": names}))


def _refuse_formulas(where: str, column: str, values: pl.Series) -> None:
    wrong = values.str.contains(_FORMULA).fill_null(value=False)
    if wrong.any():
        row = int(wrong.arg_max() or 0)
        raise InputError(
            f"{where} has the {column} {values[row]!r} in row {row + 1} below the column names, which a spreadsheet "
            "would compute; correct it."
        )


def add_feature_schema(store: ObjectStore, name: str, content: bytes) -> FeatureSchema:
    """Keep a feature schema under a name; the same genes under the same name again are no change.

    :param store: Object store.
    :param name: Name of the schema.
    :param content: The CSV file.
    :return: The schema.
    :raise InputError: When the file is wrong, or the name is taken by other genes.
    """
    schema = parse_feature_schema(name, content)
    try:
        store.write(feature_schema_key(name), content, new=True)
    except AlreadyExistsError:
        if load_feature_schema(store, name).digest() != schema.digest():
            raise InputError(
                f"there is another feature schema {name} already, and curricula may rest on it; choose another name."
            ) from None
    register_feature_schema(store, schema)
    return schema


def register_feature_schema(store: ObjectStore, schema: FeatureSchema) -> None:
    """Note what a name stands for from now on.

    :param store: Object store.
    :param schema: The schema, as it was loaded.
    :raise InputError: When the name stands for other genes.
    """
    made = RegisteredSchema(digest=schema.digest())
    try:
        write_document(store, registered_schema_key(schema.name), made, new=True)
    except AlreadyExistsError:
        _check_registered(store, schema)


def load_feature_schema(store: ObjectStore, name: str) -> FeatureSchema:
    """Read a feature schema.

    :param store: Object store.
    :param name: Name of the schema.
    :return: The schema.
    :raise InputError: When there is none of this name, its file is wrong, or is not what it was when it was registered.
    """
    try:
        content = read_written(store, feature_schema_key(check_name(name)), MOST_SCHEMA_BYTES)
    except FileNotFoundError:
        known = list_feature_schemas(store)
        near = difflib.get_close_matches(name, known, n=3) or known[:_NAMED]
        hint = f"use {', '.join(near)}, {UNION} or {INTERSECTION}" if near else f"add it, or use {UNION}"
        raise InputError(f"there is no feature schema {name}; {hint}.") from None
    schema = parse_feature_schema(name, content)
    _check_registered(store, schema)
    return schema


def feature_schema_csv(schema: FeatureSchema) -> str:
    """Write a feature schema as CSV that :func:`parse_feature_schema` reads back.

    :param schema: The schema.
    :return: Columns ``ensembl_id`` and ``symbol`` (empty where there is none), in the order of the schema.
    """
    columns = schema.features.rename({"feature_id": "ensembl_id", "feature_name": "symbol"})
    return columns.write_csv(null_value="")


def remove_feature_schema(store: ObjectStore, name: str) -> list[str]:
    """Delete a feature schema; what was planned with it keeps its own copy of the genes.

    :param store: Object store.
    :param name: Name of the schema.
    :return: Curricula whose specification names it: only new versions of these need it.
    :raise InputError: When there is none, or the schedule builds curricula with it.
    """
    from omics_datastore.curriculum.versions import dropped_specifications

    if name not in list_feature_schemas(store):
        load_feature_schema(store, name)
    users = [specification for specification in dropped_specifications(store) if specification.features == name]
    weekly = [specification.name for specification in users if specification.refresh != "never"]
    if weekly:
        raise InputError(
            f"the feature schema {name} is needed every week by {', '.join(weekly)}; take refresh out of "
            f"{', '.join(f'{SPECIFICATIONS}{curriculum}.yaml' for curriculum in weekly)} first."
        )
    store.delete(registered_schema_key(name))
    store.delete(feature_schema_key(name))
    return [specification.name for specification in users]


def list_feature_schemas(store: ObjectStore) -> list[str]:
    """List the names of the feature schemas.

    :param store: Object store.
    :return: Names, sorted; files whose name breaks the key rule are left out.
    """
    names = [entry.key.removeprefix(FEATURE_SCHEMAS) for entry in store.entries(FEATURE_SCHEMAS)]
    stems = [name.removesuffix(".csv") for name in names if name.endswith(".csv")]
    return sorted(stem for stem in stems if KEY_PATTERN.fullmatch(stem) and stem not in COMPUTED)


def check_name(name: str) -> str:
    """Return the name of a feature schema unchanged when it may be one.

    :param name: The name.
    :return: The name.
    :raise InputError: When it breaks the key rule or has another meaning in a specification.
    """
    if name in COMPUTED:
        raise InputError(f"a feature schema cannot be called {name}: a specification means something else by it.")
    return check_key("feature schema", name)


def _check_registered(store: ObjectStore, schema: FeatureSchema) -> None:
    try:
        registered = read_document(store, registered_schema_key(schema.name), RegisteredSchema)
    except FileNotFoundError:
        return
    if registered.digest != schema.digest():
        raise InputError(
            f"{store.uri(feature_schema_key(schema.name))} does not hold the genes that it held when {schema.name} was "
            f"used first: it was damaged or edited; put the old file back, give the new genes another name, or run "
            f"'nexus schema remove {schema.name}' and add it again."
        )


def _text(values: pl.Series) -> pl.Series:
    text = values.cast(pl.String).str.strip_chars()
    return text.set(text == "", None)


def _read_csv(where: str, content: bytes) -> pl.DataFrame:
    if len(content) > MOST_SCHEMA_BYTES:
        raise InputError(f"{where} has {len(content)} bytes, more than {MOST_SCHEMA_BYTES}; leave out what is no gene.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{where} is not UTF-8 text (byte {error.start}); save it as CSV in UTF-8.") from None
    if not text.strip():
        raise InputError(f"{where} is empty; it needs a line with column names, one of them ensembl_id.")
    if "\0" in text:
        raise InputError(f"{where} is not CSV; save it as CSV in UTF-8.")
    try:
        table = pl.read_csv(io.BytesIO(text.encode()), infer_schema=False)
    except pl.exceptions.PolarsError as error:
        reason = " ".join(str(error).splitlines()[0].split())
        raise InputError(f"{where} is not CSV: {reason}.") from None
    return table.rename({column: column.strip() for column in table.columns if column.strip() not in table.columns})

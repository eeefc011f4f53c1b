"""Run a statement that somebody wrote in BigQuery, as it is, when BigQuery says that it only reads."""

from itertools import islice

import polars as pl

from omics_datastore.errors import InputError
from omics_datastore.warehouse.bigquery_errors import explained
from omics_datastore.warehouse.bigquery_jobs import BigQueryJobs
from omics_datastore.warehouse.warehouse import SqlResult


def run_sql(text: str, limit: int, jobs: BigQueryJobs) -> SqlResult:
    """Run a statement; see :meth:`omics_datastore.warehouse.warehouse.Warehouse.sql`.

    :param text: The statement.
    :param limit: Rows to give at most.
    :param jobs: The jobs of the warehouse, with their limit of bytes billed.
    :return: The rows.
    :raise InputError: When the statement is at fault, or would bill more than the limit.
    """
    from google.api_core.exceptions import BadRequest, NotFound

    try:
        kind = jobs.statement_type(text)
        if kind != "SELECT":
            raise InputError(f"nexus sql only reads: write a SELECT or WITH statement, not {kind or 'several'}.")
        _, rows = jobs.rows(text)
        with explained(jobs.address):
            found = list(islice(rows, limit + 1))
    except (BadRequest, NotFound) as error:
        raise InputError(f"BigQuery refused the statement: {' '.join(str(error.message).split())}.") from error
    columns = [field.name for field in rows.schema]
    table = {name: [row[place] for row in found[:limit]] for place, name in enumerate(columns)}
    return SqlResult(pl.DataFrame(table, strict=False), len(found) > limit)

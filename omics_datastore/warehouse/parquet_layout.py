"""How Parquet ingest files are laid out: row groups, codec, encodings. One place decides, per deployment.

Measured in shared facts: small row groups make local range reads fast; BigQuery loads best from row
groups of 16 MiB and more and documents plain and dictionary encodings with ZSTD as safe.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class ParquetLayout(BaseModel):
    """Row-group size and encodings of ``raw_counts`` and ``cell_info``.

    ``range_reads`` is for warehouses that read the files themselves (DELTA_BINARY_PACKED positions,
    BYTE_STREAM_SPLIT counts); ``bulk_load`` for those that import them (plain encodings).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    purpose: Literal["range_reads", "bulk_load"] = "range_reads"
    counts_row_group: int = Field(512, gt=0, description="Rows of a row group of raw_counts.")
    cells_row_group: int = Field(8192, gt=0, description="Rows of a row group of cell_info.")

    def counts_writer_options(self) -> dict[str, Any]:
        """Return the ``pyarrow.parquet.ParquetWriter`` options for ``raw_counts``.

        :return: Keyword arguments.
        """
        common: dict[str, Any] = {"compression": "zstd", "compression_level": 1}
        statistics = ["shuffle_key", "cell_index"]
        if self.purpose == "bulk_load":
            return {**common, "use_dictionary": ["ingest_id"], "write_statistics": statistics}
        return {
            **common,
            "use_dictionary": ["ingest_id"],
            "write_statistics": statistics,
            "column_encoding": {
                "cell_index": "PLAIN",
                "shuffle_key": "PLAIN",
                "feature_index.list.element": "DELTA_BINARY_PACKED",
                "raw_count.list.element": "BYTE_STREAM_SPLIT",
            },
        }

    def table_writer_options(self) -> dict[str, Any]:
        """Return the ``pyarrow.parquet.ParquetWriter`` options for the other tables.

        :return: Keyword arguments.
        """
        return {"compression": "zstd", "compression_level": 1}

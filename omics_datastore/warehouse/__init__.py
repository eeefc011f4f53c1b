"""The warehouse seam and the warehouse of a laptop: a folder of Parquet queried by DuckDB."""

"""The pipeline runner seam: one abstract class, its laptop implementation, a scripted fake. No Dagster here."""

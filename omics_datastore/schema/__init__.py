"""The four tables: one definition (``tables``) and what is derived from it."""

"""The four tables and their snapshot."""

"""Reproducible measurements, and what follows from them on paper."""

"""Readers, ingest, chunk planning, stores and provenance."""

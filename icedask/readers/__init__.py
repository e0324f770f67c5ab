"""Readers of trajectory files and converters of other libraries' objects."""

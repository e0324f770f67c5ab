"""Whole analyses, made of nothing but calls of the library."""

"""Structural motifs: clusters of a UMAP map, their table and their medoids."""

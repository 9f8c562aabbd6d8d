"""Corpora, their symbols on disk, and batches of them."""

"""Embedding, backbone and head as one thing that trains and generates."""

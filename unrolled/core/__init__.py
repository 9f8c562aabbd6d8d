"""The protocol that every other room is written against."""

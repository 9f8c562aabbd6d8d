"""Run folders, and the database that indexes them; importable without torch."""

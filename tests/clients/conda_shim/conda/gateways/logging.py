"""Imported for its effects alone."""

"""A package of conda's."""

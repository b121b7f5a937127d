"""The version that the tools believe to run with, and the root of conda's errors."""

__version__ = "26.7.1"


class CondaError(Exception):
    pass

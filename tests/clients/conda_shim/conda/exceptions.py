"""Raised by conda where a key of the configuration is not there."""

from . import CondaError


class CondaKeyError(CondaError):
    pass

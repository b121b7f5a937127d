"""The token files of anaconda-client, one for each server, which conda reads: the URL is the file's name."""

import os
import pathlib
from urllib.parse import quote_plus, unquote_plus

from platformdirs import user_config_dir


# Named and typed as in conda, for anaconda-client asks for it.
def _get_binstar_token_directory():
    base = os.environ.get("BINSTAR_CONFIG_DIR")
    return os.path.join(base, "data") if base else user_config_dir("binstar", "ContinuumIO")


def _path(url):
    return pathlib.Path(_get_binstar_token_directory(), f"{quote_plus(url)}.token")


def read_binstar_tokens():
    directory = pathlib.Path(_get_binstar_token_directory())
    files = sorted(directory.glob("*.token")) if directory.is_dir() else []
    return {unquote_plus(file.name.removesuffix(".token")): file.read_text() for file in files}


def set_binstar_token(url, token):
    path = _path(url)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(token)
    path.chmod(0o600)


def remove_binstar_token(url):
    _path(url).unlink(missing_ok=True)

"""`conda config` on `~/.condarc`, and `conda clean`, which has nothing to clean here."""

import json
import os
import pathlib

from ruamel.yaml import YAML


def main(command, *options):
    if command == "config":
        _config(list(options))
    return 0


def _config(options):
    named = next((option.partition("=")[2] for option in options if option.startswith("--file=")), None)
    path = pathlib.Path(named or os.path.expanduser("~/.condarc"))
    yaml = YAML()
    settings = (yaml.load(path.read_text()) if path.exists() else None) or {}
    changed = False
    while options:
        option = options.pop(0)
        if option == "--get":
            key = options.pop(0)
            print(json.dumps({"get": {key: list(settings[key])} if key in settings else {}}))
        elif option == "--remove-key":
            settings.pop(options.pop(0), None)
            changed = True
        elif option in ("--set", "--prepend", "--append"):
            key, value = options.pop(0), options.pop(0)
            if option == "--set":
                settings[key] = {"true": True, "false": False}.get(value, value)
            else:
                others = [there for there in settings.get(key, []) if there != value]
                settings[key] = [value, *others] if option == "--prepend" else [*others, value]
            changed = True
    if changed:
        with path.open("w") as file:
            yaml.dump(settings, file)

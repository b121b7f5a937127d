"""Solves and installs with py-rattler, as a person with rattler or pixi would, and prints what came of it as one JSON object.

    install.py --channel URL --prefix DIR --cache DIR [--platform linux-64] [--no-shards] [--ask URL] SPEC...

Credentials come as they do in real life: in the channel URL, or from the file that RATTLER_AUTH_FILE names. SSL_CERT_FILE names
the certificate authority. Nothing else of the environment or of earlier runs takes part: caches live in --cache.

On success it prints {"installed": [{"name", "version", "url"}, …]} and exits with 0; on failure {"error": "…"}, what the client
shows to the person, and exits with 1. With --ask a failure is followed by one plain GET of URL, whose answer, the one thing the
client keeps to itself, is printed as "answer": {"status", "content_type", "body"}.
"""

import argparse
import asyncio
import json
import os
import pathlib
import sys
import urllib.error
import urllib.request

from rattler import Client, Gateway, SourceConfig, install, solve
from rattler.networking import AuthenticationMiddleware


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--channel", required=True)
    parser.add_argument("--prefix", required=True, type=pathlib.Path)
    parser.add_argument("--cache", required=True, type=pathlib.Path)
    parser.add_argument("--platform", default="linux-64")
    parser.add_argument("--no-shards", action="store_true")
    parser.add_argument("--ask")
    parser.add_argument("--solve-at", help="the channel to solve in, as if a lock file of it had been taken to --channel")
    parser.add_argument("specs", nargs="+")
    return parser.parse_args()


async def solve_and_install(arguments: argparse.Namespace) -> list[dict]:
    client = Client([AuthenticationMiddleware()])
    gateway = Gateway(
        cache_dir=arguments.cache / "repodata",
        default_config=SourceConfig(sharded_enabled=not arguments.no_shards),
        client=client,
    )
    platforms = [arguments.platform, "noarch"]
    channel = arguments.solve_at or arguments.channel
    records = await solve([channel], arguments.specs, gateway=gateway, platforms=platforms)
    for record in records:
        record.url = record.url.replace(channel, arguments.channel, 1)
    await install(records, arguments.prefix, cache_dir=arguments.cache / "packages", client=client, show_progress=False)
    return [{"name": r.name.normalized, "version": str(r.version), "url": r.url} for r in records]


def ask(url: str) -> dict:
    try:
        with urllib.request.urlopen(url, timeout=30) as response:
            return answer(response.status, response.headers, response.read())
    except urllib.error.HTTPError as error:
        return answer(error.code, error.headers, error.read())


def answer(status: int, headers: object, body: bytes) -> dict:
    return {"status": status, "content_type": headers.get("Content-Type"), "body": body.decode(errors="replace")}


def main() -> int:
    arguments = parse_arguments()
    try:
        outcome = {"installed": asyncio.run(solve_and_install(arguments))}
    except Exception as error:  # whatever it is, it is what the person sees
        outcome = {"error": str(error)}
        if arguments.ask:
            outcome["answer"] = ask(arguments.ask)
    print(json.dumps(outcome))
    return 0 if "installed" in outcome else 1


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # py-rattler sometimes crashes while the interpreter ends, its work done

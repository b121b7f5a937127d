"""What conda sends for each URL after the tools have been at work: with anaconda-auth's own plugin for conda where `plugin` is asked for,
else with the token files. Prints one JSON array; in a URL that was sent, the token is there as it was sent."""

import json
import sys

from conda import CondaError
from conda.gateways.connection.session import CondaSession


def fetch(channel, url, plugin):
    auth = None
    if plugin:
        from anaconda_auth._conda.auth_handler import AnacondaAuthHandler

        auth = AnacondaAuthHandler(channel)
    try:
        response = CondaSession(auth).get(url)
    except CondaError as error:
        return {"error": str(error)}
    request = response.request
    authorization = request.headers.get("Authorization")
    return {"sent": request.url, "authorization": authorization, "status": response.status_code}


asked = json.load(sys.stdin)
json.dump([fetch(asked["channel"], url, asked["plugin"]) for url in asked["urls"]], sys.stdout)

"""conda's session: requests, with a plugin's credentials or else the token files', which it puts into the path of every URL below
theirs."""

import requests

from ...base.context import context
from ...models.channel import Channel
from ..anaconda_client import read_binstar_tokens


class CondaSession(requests.Session):
    def __init__(self, auth=None):
        super().__init__()
        self.auth = auth or _with_token_of_a_file
        self.verify = context.ssl_verify
        self.headers["User-Agent"] = "conda/26.7.1 (stand-in)"

    @classmethod
    def cache_clear(cls):
        pass


def _with_token_of_a_file(request):
    for url, token in read_binstar_tokens().items():
        channel = Channel(request.url)
        if channel.token is None and request.url.startswith(url):
            channel.token = token
            request.url = channel.url(with_credentials=True)
            break
    return request

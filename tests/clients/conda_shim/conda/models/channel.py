"""A channel's URL: conda takes the token out of wherever it stands and puts it right behind the host, or behind a leading `/conda`."""

import re
from urllib.parse import urlsplit


class Channel:
    def __init__(self, url):
        parts = urlsplit(url)
        self.scheme, self.netloc = parts.scheme, parts.netloc
        found = re.search(r"/t/([a-zA-Z0-9-]*)", parts.path)
        self.token = found.group(1) if found else None
        self.path = parts.path.replace(found.group(0), "", 1) if found else parts.path

    def url(self, with_credentials=False):
        token = f"/t/{self.token}" if with_credentials and self.token else ""
        before = "/conda" if self.path.startswith("/conda/") else ""
        return f"{self.scheme}://{self.netloc}{before}{token}{self.path[len(before):]}"

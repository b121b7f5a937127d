"""What conda knows of its settings: the environment's word on certificates, and nothing else."""

import os


class Context:
    proxy_servers = {}
    client_ssl_cert = None
    client_ssl_cert_key = None
    channel_settings = ()

    @property
    def ssl_verify(self):
        value = os.environ.get("CONDA_SSL_VERIFY", "true")
        return {"true": True, "1": True, "false": False, "0": False}.get(value.lower(), value)


context = Context()

"""What a plugin that brings credentials to a channel is built on."""

from requests.auth import AuthBase


class ChannelAuthBase(AuthBase):
    def __init__(self, channel_name):
        self.channel_name = channel_name

"""Anthropic's `/messages` as an inbound dialect: its SDK and coding agents over any chat translator."""

from __future__ import annotations

from processor.dialects.base import Asked
from processor.dialects.inbound_chat import read
from processor.dialects.inbound_messages_answer import message
from processor.dialects.inbound_messages_request import chat_fields
from processor.dialects.inbound_messages_stream import MessagesStream
from processor.errors import UpstreamProtocolError
from processor.wire.json import Fields, encode


class InboundMessages:
    """The Inbound of `/messages`."""

    def chat(self, asked: Asked) -> Fields:
        """The client's request as a chat request's fields.

        Raises:
            MalformedRequest: a parameter is wrong, or asks for what only Anthropic has, such as its own tools.
        """
        return chat_fields(asked)

    def answer(self, completion: bytes, asked: Asked) -> bytes:
        """A whole chat completion as a `message`.

        Raises:
            UpstreamProtocolError: it is none.
        """
        chat = read(completion)
        choice = chat.choices[0] if chat and chat.choices else None
        if chat is None or choice is None or choice.message is None:
            raise UpstreamProtocolError("The vendor's answer holds no message.")
        return encode(message(chat, choice, asked))

    def stream(self, asked: Asked) -> MessagesStream:
        """The translator of a chat's stream."""
        return MessagesStream(asked)

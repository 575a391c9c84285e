"""OpenAI's `/responses` as an inbound dialect: over any chat translator, without a memory."""

from __future__ import annotations

from processor.dialects.base import Asked
from processor.dialects.inbound_chat import Choice, read
from processor.dialects.inbound_responses_answer import (
    ResponseForm,
    annotation,
    call_item,
    item_id,
    item_status,
    logprob,
    message_item,
    named,
    reasoning_item,
    refusal_part,
    text_part,
)
from processor.dialects.inbound_responses_items import call_detail
from processor.dialects.inbound_responses_request import chat_fields
from processor.dialects.inbound_responses_stream import ResponsesStream
from processor.dialects.inbound_seal import sealed
from processor.errors import UpstreamProtocolError
from processor.wire.json import JSON, Fields, encode


class InboundResponses:
    """The Inbound of `/responses`."""

    def chat(self, asked: Asked) -> Fields:
        """The client's request as a chat request's fields.

        Raises:
            MalformedRequest: a parameter is wrong, or needs what the gateway does not have, such as a memory.
        """
        return chat_fields(asked)

    def answer(self, completion: bytes, asked: Asked) -> bytes:
        """A whole chat completion as a `response`.

        Raises:
            UpstreamProtocolError: it is none.
        """
        chat = read(completion)
        choice = chat.choices[0] if chat and chat.choices else None
        if chat is None or choice is None or choice.message is None:
            raise UpstreamProtocolError("The vendor's answer holds no message.")
        output = _output(choice, asked.request_id)
        form = ResponseForm(asked)
        finish_reason, usage = choice.finish_reason, chat.usage
        return encode(form.ended(chat.model or "", output, finish_reason=finish_reason, usage=usage))

    def stream(self, asked: Asked) -> ResponsesStream:
        """The translator of a chat's stream."""
        return ResponsesStream(asked)


def _output(choice: Choice, request_id: str) -> list[JSON]:
    """The items of a choice, in the order in which a stream tells them; there is always one."""
    said = choice.message
    if said is None:
        return []
    items: list[JSON] = []
    details = said.reasoning_details or []
    if said.thought or details:
        items.append(reasoning_item(item_id("rs", request_id, 0), said.thought or "", details))
    calls = said.tool_calls or []
    status = item_status(choice.finish_reason)
    content = _content(choice)
    if content or not (items or calls):
        msg = item_id("msg", request_id, len(items))
        items.append(message_item(msg, content or [text_part("", [], [])], "completed" if calls else status))
        details = []
    for number, call in enumerate(calls):
        if call.extra_content:
            details = [*details, call_detail(call.id or "", call.extra_content)]
            _seal(items, details, request_id)
        last = number == len(calls) - 1
        fc = item_id("fc", request_id, len(items))
        items.append(
            call_item(fc, named(call, request_id, len(items)), call.arguments, status if last else "completed")
        )
        details = []
    return items


def _seal(items: list[JSON], details: list[JSON], request_id: str) -> None:
    """Put these into the reasoning that comes last, or into an item of their own."""
    if items and items[-1]["type"] == "reasoning":
        items[-1]["encrypted_content"] = sealed(details)
    else:
        items.append(reasoning_item(item_id("rs", request_id, len(items)), "", details))


def _content(choice: Choice) -> list[JSON]:
    said = choice.message
    if said is None:
        return []
    parts = []
    if said.content or said.annotations:
        annotations = [annotation(entry) for entry in said.annotations or ()]
        parts.append(text_part(said.content or "", annotations, [logprob(token) for token in choice.tokens()]))
    if said.refusal:
        parts.append(refusal_part(said.refusal))
    return parts

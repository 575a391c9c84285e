"""Protobuf messages to events, actions to protobuf messages. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from google.protobuf.struct_pb2 import Struct

from processor import names
from processor.exchange.messages import (
    Begin,
    EndTrailers,
    Event,
    Facts,
    Message,
    Proceed,
    Replace,
    RequestBody,
    RequestHeaders,
    Respond,
    ResponseBody,
    ResponseHeaders,
    ResponseTrailers,
    Send,
)
from processor.pb.external_processor_pb2 import (
    CommonResponse,
    HeaderMap,
    HeaderMutation,
    HeaderValueOption,
    ProcessingRequest,
    ProcessingResponse,
)

_OVERWRITE = HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
_ATTRIBUTES_KEY = "envoy.filters.http.ext_proc"


def decode(message: ProcessingRequest) -> Event | None:
    """The event a message stands for; None for one the gateway never asked for."""
    match message.WhichOneof("request"):
        case "response_body":
            return ResponseBody(message.response_body.body, message.response_body.end_of_stream)
        case "request_headers":
            head = message.request_headers
            return RequestHeaders(_headers(head.headers), head.end_of_stream, _attributes(message))
        case "request_body":
            return RequestBody(message.request_body.body, message.request_body.end_of_stream)
        case "response_headers":
            head = message.response_headers
            return ResponseHeaders(_headers(head.headers), head.end_of_stream)
        case "response_trailers":
            return ResponseTrailers()
        case _:
            return None


def encode(action: Message, event: Event | None) -> ProcessingResponse:
    """The message that tells Envoy to do `action`, the answer to `event` (None: a deadline passed)."""
    response = ProcessingResponse()
    match action:
        case Send(body, end_of_stream):
            piece = response.response_body.response.body_mutation.streamed_response
            piece.body = body
            piece.end_of_stream = end_of_stream
        case Proceed(set_headers, remove_headers, clear_route_cache):
            common = _common(response, event)
            _mutate(common.header_mutation, set_headers, remove_headers)
            common.clear_route_cache = clear_route_cache
        case Replace(body, set_headers, remove_headers):
            common = response.request_headers.response
            common.status = CommonResponse.CONTINUE_AND_REPLACE
            common.body_mutation.body = body
            _mutate(common.header_mutation, set_headers, remove_headers)
            _write_facts(response.dynamic_metadata, names.WIRE_NAMESPACE, {names.CONTENT_LENGTH_KEY: str(len(body))})
        case Begin(set_headers, remove_headers):
            _mutate(response.response_headers.response.header_mutation, set_headers, remove_headers)
        case Respond(status, body, headers):
            reply = response.immediate_response
            reply.status.code = status
            reply.body = body
            reply.details = names.LOCAL_DETAILS
            _mutate(reply.headers, headers, ())
        case EndTrailers():
            response.response_trailers.SetInParent()
            return response
    if action.facts:
        _write_facts(response.dynamic_metadata, names.RECORD_NAMESPACE, action.facts)
    return response


def _common(response: ProcessingResponse, event: Event | None) -> CommonResponse:
    answer = response.request_body if isinstance(event, RequestBody) else response.request_headers
    answer.response.SetInParent()
    return answer.response


def _headers(headers: HeaderMap) -> dict[str, str]:
    return {header.key: header.raw_value.decode("utf-8", "replace") for header in headers.headers}


def _attributes(message: ProcessingRequest) -> Mapping[str, str | float]:
    if _ATTRIBUTES_KEY not in message.attributes:
        return {}
    fields = message.attributes[_ATTRIBUTES_KEY].fields
    return {
        name: value.number_value if value.HasField("number_value") else value.string_value
        for name, value in fields.items()
    }


def _mutate(mutation: HeaderMutation, set_headers: Iterable[tuple[str, str]], remove_headers: Iterable[str]) -> None:
    for name, value in set_headers:
        option = mutation.set_headers.add()
        option.append_action = _OVERWRITE
        option.header.key = name
        option.header.raw_value = value.encode()
    mutation.remove_headers.extend(remove_headers)


def _write_facts(metadata: Struct, namespace: str, facts: Facts) -> None:
    fields = metadata.fields[namespace].struct_value.fields
    for name, value in facts.items():
        if isinstance(value, str):
            fields[name].string_value = value
        else:
            fields[name].number_value = value

"""Our few ext_proc messages against the whole API as envoy-data-plane carries it: what one writes, the other reads."""

from __future__ import annotations

import dataclasses
from typing import cast

import betterproto2
import envoy_data_plane.envoy.service.ext_proc.v3 as api
import pytest
from envoy_data_plane.envoy.config.core.v3 import HeaderMap, HeaderValue, HeaderValueOption
from envoy_data_plane.envoy.type.v3 import HttpStatus
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from processor.pb import external_processor_pb2 as ours

ELSEWHERE = {
    "HeaderMap": HeaderMap,
    "HeaderValue": HeaderValue,
    "HeaderValueOption": HeaderValueOption,
    "HttpStatus": HttpStatus,
}
"""Messages that Envoy keeps in other packages."""

MESSAGES = [
    descriptor for name, descriptor in sorted(ours.DESCRIPTOR.message_types_by_name.items()) if name != "Struct"
]

SAMPLES = {
    FieldDescriptor.TYPE_STRING: "text",
    FieldDescriptor.TYPE_BYTES: b"\x00bytes",
    FieldDescriptor.TYPE_BOOL: True,
    FieldDescriptor.TYPE_INT32: 404,
}


def filled(descriptor: Descriptor, depth: int = 0) -> Message:
    """A message with every field set (the last of each oneof), nested ones too."""
    message: Message = getattr(ours, descriptor.name)()
    for field in descriptor.fields:
        fill(message, field, depth)
    return message


def fill(message: Message, field: FieldDescriptor, depth: int) -> None:
    if field.message_type is not None:
        fill_message(message, field, depth)
    elif field.is_repeated:
        getattr(message, field.name).append(SAMPLES[field.type])
    elif field.enum_type is not None:
        setattr(message, field.name, field.enum_type.values[-1].number)
    else:
        setattr(message, field.name, SAMPLES[field.type])


def fill_message(message: Message, field: FieldDescriptor, depth: int) -> None:
    kind = field.message_type
    assert kind is not None
    if kind.GetOptions().map_entry:
        getattr(message, field.name)["filter"].update({"name": 2.0})
    elif kind.full_name == "google.protobuf.Struct":
        getattr(message, field.name).update({"gateway": {"key": "team"}})
    elif field.is_repeated:
        getattr(message, field.name).append(filled(kind, depth + 1))
    else:
        getattr(message, field.name).CopyFrom(filled(kind, depth + 1))


def theirs(name: str) -> type[betterproto2.Message]:
    return cast("type[betterproto2.Message]", ELSEWHERE.get(name) or getattr(api, name))


@pytest.mark.parametrize("descriptor", MESSAGES, ids=lambda descriptor: descriptor.name)
def test_what_we_write_envoys_own_classes_read_without_a_field_left_over(descriptor: Descriptor) -> None:
    message = filled(descriptor)
    read = theirs(descriptor.name).parse(message.SerializeToString())
    assert not read._unknown_fields
    assert type(message).FromString(bytes(read)) == message


@pytest.mark.parametrize("descriptor", MESSAGES, ids=lambda descriptor: descriptor.name)
def test_every_field_has_the_apis_name_and_number(descriptor: Descriptor) -> None:
    numbers = {
        field.name: betterproto2.FieldMetadata.get(field).number
        for field in dataclasses.fields(theirs(descriptor.name))  # type: ignore[arg-type] # pydantic's dataclasses
    }
    assert {field.name: field.number for field in descriptor.fields}.items() <= numbers.items()


def test_enums_have_the_apis_values() -> None:
    actions = {value.name: value.number for value in ours.HeaderValueOption.HeaderAppendAction.DESCRIPTOR.values}
    status = {value.name: value.number for value in ours.CommonResponse.ResponseStatus.DESCRIPTOR.values}
    their_actions = type(HeaderValueOption().append_action)
    assert actions == {member.name: member.value for member in their_actions}
    assert status == {member.name: member.value for member in type(api.CommonResponse().status)}


def test_a_response_field_of_ours_unknown_to_nobody_survives_envoys_extra_fields() -> None:
    request = api.ProcessingRequest(
        request_headers=api.HttpHeaders(headers=HeaderMap(headers=[HeaderValue(key=":path", raw_value=b"/v1")])),
        observability_mode=True,
        protocol_config=api.ProtocolConfiguration(send_body_without_waiting_for_header_response=True),
    )
    read = ours.ProcessingRequest.FromString(bytes(request))
    assert read.request_headers.headers.headers[0].raw_value == b"/v1"

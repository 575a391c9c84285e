"""A client's body: what each endpoint takes, and what is said of the rest."""

from __future__ import annotations

import httpx
import pytest

from processor.domain import Operation
from processor.endpoints import ENDPOINTS, Endpoint, endpoint_of, find
from processor.errors import MalformedRequest
from processor.exchange.request_body import ReadBody, read_body

JSON = "application/json"
CHAT = endpoint_of(Operation.CHAT)
TRANSCRIPTION = endpoint_of(Operation.TRANSCRIPTION)


def form(fields: dict[str, str | list[str]], *files: tuple[str, tuple[str, bytes, str]]) -> tuple[str, bytes]:
    request = httpx.Request("POST", "http://gateway", data=fields, files=list(files))
    return request.headers["content-type"], request.read()


def read_form(fields: dict[str, str | list[str]]) -> ReadBody:
    content_type, body = form(fields, ("file", ("a.wav", b"RIFF\x00\xff", "audio/wav")))
    return read_body(body, content_type, TRANSCRIPTION)


def test_a_forms_texts_are_fields_and_its_files_uploads() -> None:
    read = read_form({"model": "whisper-1", "stream": "true", "timestamp_granularities[]": ["word", "segment"]})
    assert (read.model, read.stream) == ("whisper-1", True)
    assert bytes(read.fields["timestamp_granularities"]) == b'["word","segment"]'
    [upload] = read.uploads
    assert (upload.name, upload.filename, upload.content_type) == ("file", "a.wav", "audio/wav")
    assert upload.body == b"RIFF\x00\xff"


def test_a_list_of_one_stays_a_list() -> None:
    read = read_form({"model": "m", "timestamp_granularities[]": ["word"]})
    assert bytes(read.fields["timestamp_granularities"]) == b'["word"]'


def test_json_does_where_a_form_is_usual() -> None:
    assert read_body(b'{"model":"m"}', JSON, TRANSCRIPTION).model == "m"


@pytest.mark.parametrize(
    ("endpoint", "body", "param"),
    [
        (CHAT, b'{"model":"m"}', "messages"),
        (CHAT, b'{"model":"m","messages":{}}', "messages"),
        (CHAT, b'{"messages":[]}', "model"),
        (CHAT, b'{"model":3,"messages":[]}', "model"),
        (CHAT, b'{"model":"m","messages":[],"stream":"yes"}', "stream"),
        (CHAT, b'{"model":"m","messages":[],"stream_options":7}', "stream_options"),
        (endpoint_of(Operation.MESSAGES), b'{"model":"m","messages":[]}', "max_tokens"),
        (endpoint_of(Operation.EMBEDDINGS), b'{"model":"m","input":null}', "input"),
        (endpoint_of(Operation.RERANK), b'{"model":"m","query":"q","documents":"d"}', "documents"),
    ],
)
def test_what_is_missing_or_wrong_is_named(endpoint: Endpoint, body: bytes, param: str) -> None:
    with pytest.raises(MalformedRequest) as refused:
        read_body(body, JSON, endpoint)
    assert refused.value.param == param


@pytest.mark.parametrize("body", [b"", b"[]", b"nonsense", b'{"a":"\xff"}', b"{" * 100_000])
def test_what_is_no_object_is_said_to_be_none(body: bytes) -> None:
    with pytest.raises(MalformedRequest) as refused:
        read_body(body, JSON, CHAT)
    assert refused.value.code == "invalid_json"


def test_a_form_is_refused_where_json_is_taken() -> None:
    content_type, body = form({"model": "m"}, ("file", ("a", b"", "text/plain")))
    with pytest.raises(MalformedRequest) as refused:
        read_body(body, content_type, CHAT)
    assert refused.value.code == "invalid_content_type"


@pytest.mark.parametrize("cut", [20, 60, 120])
def test_a_form_that_is_cut_is_refused(cut: int) -> None:
    content_type, body = form({"model": "m"}, ("file", ("a", b"x" * 99, "text/plain")))
    with pytest.raises(MalformedRequest) as refused:
        read_body(body[:-cut], content_type, TRANSCRIPTION)
    assert refused.value.code == "invalid_form"


def test_speech_always_goes_on_as_it_comes() -> None:
    assert read_body(b'{"model":"m","input":"Hi"}', JSON, endpoint_of(Operation.SPEECH)).stream


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.path)
def test_every_endpoint_is_found_with_and_without_v1(endpoint: Endpoint) -> None:
    assert find(endpoint.path) is find("/v1" + endpoint.path) is endpoint

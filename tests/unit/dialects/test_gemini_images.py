"""Pictures of Google's models: sizes, counts, and parameters that they have not."""

from __future__ import annotations

from typing import Any

import pytest

from processor.dialects.base import Asked, ClientResponse, Pending
from processor.dialects.gemini_image_request import nearest, size_word
from processor.dialects.gemini_images import GEMINI_RATIOS, IMAGEN_RATIOS, GeminiImages
from processor.errors import MalformedRequest, UpstreamProtocolError, UpstreamRefused
from processor.wire.json import decode, decode_fields, encode
from tests.support.asked import asked

IMAGES = GeminiImages()
IMAGEN = "imagen-4.0-generate-001"
GEMINI = "gemini-2.5-flash-image"


def asking(model: str = IMAGEN, *, stream: bool = False, drop_params: bool = False, **fields: Any) -> Asked:
    body = decode_fields(encode({"prompt": "A cat", **fields}))
    return asked(body, model=model, stream=stream, drop_params=drop_params)


def sent(model: str = IMAGEN, *, drop_params: bool = False, **fields: Any) -> Any:
    return decode(IMAGES.request(asking(model, drop_params=drop_params, **fields)).body)


@pytest.mark.parametrize(
    ("size", "imagen", "gemini"),
    [
        ((1024, 1024), "1:1", "1:1"),
        ((1536, 1024), "4:3", "3:2"),
        ((1024, 1536), "3:4", "2:3"),
        ((1792, 1024), "16:9", "16:9"),
        ((1024, 1792), "9:16", "9:16"),
        ((2560, 1080), "16:9", "21:9"),
        ((1000, 1250), "3:4", "4:5"),
        ((99999, 10), "16:9", "21:9"),
    ],
)
def test_a_size_is_the_nearest_ratio(size: tuple[int, int], imagen: str, gemini: str) -> None:
    assert (nearest(size, IMAGEN_RATIOS), nearest(size, GEMINI_RATIOS)) == (imagen, gemini)


@pytest.mark.parametrize(
    ("size", "imagen", "gemini"),
    [((1792, 1024), "", ""), ((2048, 2048), "2K", "2K"), ((1080, 1920), "2K", "2K"), ((4096, 4096), "2K", "4K")],
)
def test_a_large_size_is_named(size: tuple[int, int], imagen: str, gemini: str) -> None:
    assert (size_word(size, most="2K"), size_word(size, most="4K")) == (imagen, gemini)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": ""}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"n": 0}, "n"),
        ({"n": 11}, "n"),
        ({"n": "two"}, "n"),
        ({"size": "huge"}, "size"),
        ({"size": "0x100"}, "size"),
        ({"size": "1024X1024"}, "size"),
        ({"response_format": "hex"}, "response_format"),
    ],
)
@pytest.mark.parametrize("model", [IMAGEN, GEMINI])
def test_a_wrong_request_is_refused_by_name(model: str, fields: dict[str, Any], param: str) -> None:
    with pytest.raises(MalformedRequest) as refused:
        sent(model, **fields)
    assert refused.value.param == param


@pytest.mark.parametrize(
    ("model", "name", "value"),
    [
        (IMAGEN, "quality", "high"),
        (IMAGEN, "style", "vivid"),
        (GEMINI, "background", "transparent"),
        (IMAGEN, "output_format", "webp"),
        (GEMINI, "output_format", "jpeg"),
        (GEMINI, "output_compression", 50),
        (GEMINI, "partial_images", 2),
    ],
)
def test_what_the_models_cannot_do_is_refused_by_name_or_left_out(model: str, name: str, value: Any) -> None:
    with pytest.raises(MalformedRequest) as refused:
        sent(model, **{name: value})
    assert (refused.value.param, refused.value.code) == (name, "unsupported_parameter")
    assert sent(model, drop_params=True, **{name: value}) == sent(model)


def test_a_stream_of_pictures_is_refused_or_left_out() -> None:
    with pytest.raises(MalformedRequest) as refused:
        IMAGES.request(asking(stream=True))
    assert refused.value.param == "stream"
    assert IMAGES.request(asking(stream=True, drop_params=True)) == IMAGES.request(asking())


@pytest.mark.parametrize("model", [IMAGEN, GEMINI])
def test_what_changes_nothing_is_not_sent(model: str) -> None:
    harmless: dict[str, Any] = {
        "quality": "auto",
        "background": "opaque",
        "moderation": "low",
        "size": "auto",
        "n": 1,
        "user": "u",
    }
    assert sent(model, **harmless) == sent(model)


def test_pictures_that_fail_are_missed_only_if_others_came() -> None:
    wanted = asking(GEMINI, n=2)
    filtered = encode({"candidates": [{"finishReason": "IMAGE_SAFETY"}]})
    drawn = encode(
        {"candidates": [{"content": {"parts": [{"inlineData": {"mimeType": "image/png", "data": "AA=="}}]}}]}
    )
    pending = IMAGES.response(filtered, wanted)
    assert isinstance(pending, Pending)
    answer = pending.then((drawn,))
    assert isinstance(answer, ClientResponse)
    assert decode(answer.body)["data"] == [{"b64_json": "AA=="}]
    assert answer.usage is None
    with pytest.raises(UpstreamRefused) as refused:
        pending.then((filtered,))
    assert (refused.value.status, refused.value.code) == (400, "content_filter")
    assert refused.value.message == "The vendor made no image: IMAGE_SAFETY."


@pytest.mark.parametrize(
    ("model", "body"), [(IMAGEN, b"[]"), (IMAGEN, b"<html>"), (GEMINI, b"{}"), (GEMINI, b'{"candidates":{}}')]
)
def test_a_body_that_is_no_answer_is_the_vendors_fault(model: str, body: bytes) -> None:
    with pytest.raises(UpstreamProtocolError):
        IMAGES.response(body, asking(model))

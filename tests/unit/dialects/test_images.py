from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processor.dialects.base import Asked, ClientResponse, Fetch, Pending, Translator, Upload, UpstreamRequest
from processor.dialects.images import delivered
from processor.dialects.images_flat import FlatImages, same
from processor.dialects.images_openai import OpenAIImages
from processor.dialects.images_request import MOST, Counts
from processor.domain import Operation
from processor.errors import MalformedRequest, UpstreamError, UpstreamProtocolError
from processor.vendors import DIALECTS, VENDORS
from processor.wire.json import decode, decode_fields
from processor.wire.multipart import parse
from tests.support.asked import asked

FLAT = FlatImages(path="/images", takes=same("seed", "watermark"), words={"quality": {"high": "hd", "auto": ""}})
EDIT = replace(FLAT, pictures=("image",))
FOX = Upload(name="image", filename="fox.png", content_type="image/png", body=b"PNG1")

TRANSLATORS: dict[str, tuple[Translator, str]] = {
    "ali at once": (VENDORS["ali"].operations[Operation.IMAGE_GENERATION], "qwen-image-2.0"),
    "ali task": (VENDORS["ali"].operations[Operation.IMAGE_GENERATION], "wanx2.1-t2i-turbo"),
    "tencent lite": (DIALECTS["tokenhub"].operations[Operation.IMAGE_GENERATION], "hy-image-lite"),
    "tencent task": (DIALECTS["tokenhub"].operations[Operation.IMAGE_GENERATION], "hy-image-v3.0"),
    **{
        name: (VENDORS[name].operations[Operation.IMAGE_GENERATION], "m")
        for name in ("baidu", "bytedance", "minimax", "openai", "silliconflow", "xunfei", "zhipu")
    },
}
OTHERS = sorted(TRANSLATORS.keys() - {"openai", "xunfei"})


def wanting(fields: Mapping[str, Any] | None = None, **more: Any) -> Asked:
    return asked(decode_fields(json.dumps({"model": "m", "prompt": "a fox", **(fields or {})}).encode()), **more)


def sent(translator: Translator, request: Asked) -> Any:
    return decode(translator.request(request).body)


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("param", ["style_preset", "mask", "input_fidelity", "output_compression", "partial_images"])
def test_what_a_vendor_cannot_do_is_refused_by_name_unless_it_may_be_dropped(name: str, param: str) -> None:
    translator, model = TRANSLATORS[name]
    request = wanting({param: 50}, model=model)
    with pytest.raises(MalformedRequest) as refused:
        translator.request(request)
    assert (refused.value.param, refused.value.code) == (param, "unsupported_parameter")
    assert translator.request(replace(request, drop_params=True)) == translator.request(wanting(model=model))


@pytest.mark.parametrize("name", OTHERS)
def test_what_changes_nothing_is_left_out(name: str) -> None:
    translator, model = TRANSLATORS[name]
    harmless = {"background": "auto", "quality": "auto", "moderation": "low", "output_compression": 100, "n": None}
    harmless |= {"partial_images": 0, "size": "auto", "style": None, "stream": False, "metadata": {"a": "b"}}
    assert translator.request(wanting(harmless, model=model)) == translator.request(wanting(model=model))


@pytest.mark.parametrize("name", OTHERS)
def test_a_stream_is_refused_where_there_is_none(name: str) -> None:
    translator, model = TRANSLATORS[name]
    with pytest.raises(MalformedRequest) as refused:
        translator.request(wanting({"stream": True}, model=model, stream=True))
    assert refused.value.param == "stream"
    dropped = wanting({"stream": True}, model=model, stream=True, drop_params=True)
    assert translator.request(dropped) == translator.request(wanting(model=model))
    with pytest.raises(UpstreamProtocolError):
        translator.stream(dropped)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": ""}, "prompt"),
        ({"prompt": ["a"]}, "prompt"),
        ({"n": 0}, "n"),
        ({"n": MOST + 1}, "n"),
        ({"n": "2"}, "n"),
        ({"size": 1024}, "size"),
        ({"response_format": "png"}, "response_format"),
        ({"quality": "ultra"}, "quality"),
        ({"background": "transparent"}, "background"),
        ({"image": "https://example.com/a.png"}, "image"),
    ],
)
def test_a_wrong_parameter_is_named(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(MalformedRequest) as refused:
        FLAT.request(wanting(fields))
    assert refused.value.param == param


def test_a_word_the_vendor_has_another_for_is_translated_and_one_it_has_none_for_may_be_dropped() -> None:
    assert sent(FLAT, wanting({"quality": "high"}))["quality"] == "hd"
    assert "quality" not in sent(FLAT, wanting({"quality": "auto"}))
    assert "quality" not in sent(FLAT, wanting({"quality": "ultra"}, drop_params=True))


def test_a_size_is_refused_where_a_model_has_no_choice() -> None:
    without = replace(FLAT, sizes=())
    with pytest.raises(MalformedRequest) as refused:
        without.request(wanting({"size": "512x512"}))
    assert refused.value.param == "size"
    assert sent(without, wanting({"size": "512x512"}, drop_params=True)) == {"model": "m", "prompt": "a fox"}


def test_numbers_and_flags_of_a_form_are_no_texts_and_a_prompt_is_one() -> None:
    texts = {"prompt": "7", "n": "1", "seed": "7", "watermark": "true", "size": "512x512", "user": "1"}
    assert sent(EDIT, wanting(texts, uploads=(FOX,))) == {
        "model": "m",
        "prompt": "7",
        "size": "512x512",
        "image": "data:image/png;base64,UE5HMQ==",
        "seed": 7,
        "watermark": True,
    }


def test_a_number_of_a_form_that_is_none_is_refused_by_name() -> None:
    with pytest.raises(MalformedRequest) as refused:
        EDIT.request(wanting({"n": "two"}, uploads=(FOX,)))
    assert refused.value.param == "n"


@pytest.mark.parametrize(
    ("content_type", "body", "start"),
    [
        ("image/webp; q=1", b"x", "data:image/webp;base64,"),
        ("", b"\x89PNG\r\n\x1a\n", "data:image/png;base64,"),
        ("application/octet-stream", b"\xff\xd8\xff\xe0", "data:image/jpeg;base64,"),
        ("text/plain", b"RIFF1234WEBP", "data:image/webp;base64,"),
        ("", b"GIF89a", "data:image/gif;base64,"),
    ],
)
def test_a_file_tells_what_it_is_by_its_type_or_its_first_bytes(content_type: str, body: bytes, start: str) -> None:
    file = replace(FOX, content_type=content_type, body=body)
    assert sent(EDIT, wanting(uploads=(file,)))["image"].startswith(start)


@pytest.mark.parametrize("fields", [{}, {"image": []}, {"images": None}])
def test_an_edit_of_nothing_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(MalformedRequest) as refused:
        EDIT.request(wanting(fields))
    assert (refused.value.param, refused.value.code) == ("image", "missing_parameter")


def test_a_file_by_its_id_is_refused() -> None:
    with pytest.raises(MalformedRequest) as refused:
        EDIT.request(wanting({"images": [{"image_url": "https://example.com/a.png"}, {"file_id": "file-1"}]}))
    assert refused.value.param == "images[1]"


def test_a_mask_is_refused_where_there_is_none_unless_it_may_be_dropped() -> None:
    request = wanting(uploads=(FOX, replace(FOX, name="mask")))
    with pytest.raises(MalformedRequest) as refused:
        EDIT.request(request)
    assert refused.value.param == "mask"
    assert EDIT.request(replace(request, drop_params=True)) == EDIT.request(wanting(uploads=(FOX,)))


def test_more_pictures_than_there_are_names_are_refused() -> None:
    several = replace(FLAT, pictures=("image", "image2"))
    urls = [f"https://example.com/{number}.png" for number in range(3)]
    assert sent(several, wanting({"image": urls[:2]})) == {
        "model": "m",
        "prompt": "a fox",
        "image": urls[0],
        "image2": urls[1],
    }
    with pytest.raises(MalformedRequest) as refused:
        several.request(wanting({"image": urls}))
    assert refused.value.param == "image"


def test_openais_form_has_the_vendors_model_and_its_boundary_comes_from_the_requests_id() -> None:
    images = OpenAIImages(path="/v1/images/edits")
    request = replace(wanting({"tags": ["a", "b"]}, uploads=(FOX,)), model="gpt-image-1")
    written = images.request(request)
    fields, (file,) = parse(written.content_type, written.body)
    assert fields == [("model", "gpt-image-1"), ("prompt", "a fox"), ("tags[]", "a"), ("tags[]", "b")]
    assert (file.name, file.filename, file.content_type, file.body) == ("image", "fox.png", "image/png", b"PNG1")
    assert images.request(request) == written
    assert images.request(replace(request, request_id="another")).content_type != written.content_type


def test_openai_is_asked_for_nothing_that_is_no_form_of_a_picture() -> None:
    with pytest.raises(MalformedRequest) as refused:
        OpenAIImages(path="/v1/images/generations").request(wanting({"response_format": "png"}))
    assert refused.value.param == "response_format"


@given(st.integers(1, MOST), st.integers(1, 12))
def test_the_counts_of_all_calls_are_what_was_asked_for(count: int, most: int) -> None:
    told = [fields["n"] for fields in Counts(most=(("*", most),)).fields(count, "m")]
    assert sum(told) == count
    assert all(0 < share <= most for share in told)
    assert Counts().fields(count, "m") == [{}] * count


def test_ten_pictures_are_ten_calls_side_by_side_with_a_seed_each() -> None:
    request = wanting({"n": MOST, "seed": 7})
    assert sent(FLAT, request)["seed"] == 7
    pending = FLAT.response(b'{"data":[{"url":"https://example.com/0.png"}]}', request)
    assert isinstance(pending, Pending)
    calls = [call for call in pending.calls if isinstance(call, UpstreamRequest)]
    assert [decode(call.body)["seed"] for call in calls] == list(range(8, 7 + MOST))
    whole = pending.then(tuple(b'{"data":[{"url":"https://example.com/%d.png"}]}' % n for n in range(1, MOST)))
    assert isinstance(whole, ClientResponse)
    assert [entry["url"][-5] for entry in decode(whole.body)["data"]] == list("0123456789")


def test_a_seed_that_is_no_number_is_the_vendors_to_judge() -> None:
    request = wanting({"n": 2, "seed": "x"})
    pending = FLAT.response(b'{"data":[{"url":"https://example.com/0.png"}]}', request)
    assert isinstance(pending, Pending)
    assert pending.calls == (FLAT.request(request),)


def test_no_second_call_is_made_when_the_first_failed() -> None:
    with pytest.raises(UpstreamError) as failed:
        FLAT.response(b'{"error":{"code":"429","message":"slow down"}}', wanting({"n": 2}))
    assert (failed.value.status, failed.value.message) == (429, "slow down")


def written(entries: list[dict[str, Any]]) -> ClientResponse:
    return ClientResponse(body=json.dumps(entries).encode(), usage=None, model="")


def test_base64_inside_a_data_url_is_not_fetched() -> None:
    entries = [{"url": "data:image/png;base64,AAAA"}, {"b64_json": "BBBB", "url": "https://example.com/b.png"}]
    answer = delivered(entries, "b64_json", written)
    assert isinstance(answer, ClientResponse)
    assert decode(answer.body) == [{"b64_json": "AAAA"}, {"b64_json": "BBBB"}]


def test_only_what_is_elsewhere_is_fetched_and_stays_in_its_place() -> None:
    entries: list[dict[str, Any]] = [{"b64_json": "AAAA"}, {"url": "https://example.com/b.png", "revised_prompt": "b"}]
    pending = delivered(entries, "b64_json", written)
    assert isinstance(pending, Pending)
    assert pending.calls == (Fetch("https://example.com/b.png"),)
    answer = pending.then((b"\0\0\0",))
    assert isinstance(answer, ClientResponse)
    assert decode(answer.body) == [{"b64_json": "AAAA"}, {"b64_json": "AAAA", "revised_prompt": "b"}]


def test_a_picture_that_is_nowhere_is_the_vendors_mistake() -> None:
    with pytest.raises(UpstreamProtocolError):
        delivered([{"revised_prompt": "a"}], "b64_json", written)


def test_an_answer_in_the_form_that_is_wanted_goes_on_as_it_came() -> None:
    body = b'{ "created": 1, "data": [ {"url": "https://example.com/a.png", "b64_json": null} ] }'
    answer = OpenAIImages(path="/").response(body, wanting({"response_format": "url"}))
    assert isinstance(answer, ClientResponse)
    assert answer.body == body


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"null", b'"x"', b"{}", b'{"data":[]}', b'{"data":null}'])
def test_an_answer_without_pictures_is_an_error(name: str, body: bytes) -> None:
    translator, model = TRANSLATORS[name]
    with pytest.raises(UpstreamProtocolError):
        translator.response(body, wanting(model=model))


_KEYS = st.sampled_from(
    (
        *("data", "url", "b64_json", "error", "code", "message", "output", "choices", "results", "image", "content"),
        *("task_id", "task_status", "status", "id", "usage", "created", "model", "image_urls", "base_resp"),
    )
)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["", "SUCCEEDED", "RUNNING", "failed", "5", "x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=5),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(TRANSLATORS)), st.dictionaries(_KEYS, _VALUES, max_size=5), st.sampled_from([1, 3]))
def test_no_answer_raises_anything_but_an_upstream_error(name: str, answer: dict[str, Any], count: int) -> None:
    translator, model = TRANSLATORS[name]
    body = json.dumps(answer).encode()
    for form in ({}, {"response_format": "b64_json"}, {"response_format": "url"}):
        try:
            found = translator.response(body, wanting({"n": count, **form}, model=model))
            if isinstance(found, Pending):
                found.then((body,) * len(found.calls))
        except UpstreamError:
            continue

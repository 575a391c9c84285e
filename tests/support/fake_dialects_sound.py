"""Fakes of speech, transcription and moderation in OpenAI's shape, and of MiniMax's speech in hexadecimal."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from processor.wire.json import JSON
from tests.support.fake_dialects_model import check_fields, paced, pieces
from tests.support.fake_vendor_http import Received
from tests.support.fake_vendor_replies import Reply, sse_event
from tests.support.forms import read_form

_FORMATS = {"mp3": "audio/mpeg", "wav": "audio/wav", "pcm": "audio/pcm", "opus": "audio/opus"}
_CATEGORIES = (
    *("harassment", "harassment/threatening", "hate", "hate/threatening", "illicit", "illicit/violent", "self-harm"),
    *("self-harm/instructions", "self-harm/intent", "sexual", "sexual/minors", "violence", "violence/graphic"),
)


def spoken(text: str) -> bytes:
    """A text's sound, which no text is."""
    return b"ID3" + bytes(byte ^ 0xFF for byte in text.encode()) * 9


def speech(request: Received) -> Reply:
    """The reply of `/v1/audio/speech`."""
    assert request.header("authorization"), "no authorization"
    body = request.json()
    check_fields(
        body,
        "response_format speed instructions stream_format gain sample_rate",
        "the body",
        required="model input voice",
    )
    sound = spoken(body["input"])
    content_type = _FORMATS[body.get("response_format", "mp3")]
    steps = paced(sound[at : at + 50] for at in range(0, len(sound), 50))
    return Reply.stream(steps, headers=(("content-type", content_type),))


def minimax_speech(request: Received) -> Reply:
    """The reply of MiniMax's `/v1/t2a_v2`, in events; the last of them holds everything again unless told not to."""
    body = request.json()
    optional = "language_boost output_format stream_options subtitle_enable pronunciation_dict"
    check_fields(body, optional, "the body", required="model text stream voice_setting audio_setting")
    check_fields(body["voice_setting"], "speed vol pitch emotion", "voice_setting", required="voice_id")
    assert body["stream"] is True, "not in events"
    assert body.get("output_format", "hex") == "hex", body["output_format"]
    sound, wellness = spoken(body["text"]), {"base_resp": {"status_code": 0, "status_msg": "success"}}
    excluded = body.get("stream_options", {}).get("exclude_aggregated_audio")
    parts = [{"audio": sound[at : at + 50].hex(), "status": 1} for at in range(0, len(sound), 50)]
    last = {"audio": "" if excluded else sound.hex(), "status": 2}
    return Reply.sse(paced(sse_event({"data": data, **wellness}) for data in (*parts, last)))


def transcription(request: Received) -> Reply:
    """The reply of `/v1/audio/transcriptions` and `/v1/audio/translations`: the file's name, type and size."""
    assert request.header("authorization") or request.header("api-key"), "no credential"
    form = read_form(request.header("content-type") or "", request.body)
    optional = (
        "language prompt response_format temperature stream include[] timestamp_granularities[] chunking_strategy"
    )
    check_fields(form, optional, "the form", required="model file")
    file = form["file"]
    content = file["body"].encode() if isinstance(file["body"], str) else file["body"]
    text = f"{file['filename']}, {file['content_type']}: {len(content)} Bytes für {form['model']}"
    if form.get("stream") == "true":
        return Reply.sse(paced(_transcribed(text)))
    if form.get("response_format") == "text":
        return Reply.text(f"{text}\n")
    usage: JSON = {"type": "duration", "seconds": 9}
    if form.get("response_format") == "verbose_json":
        return Reply.json({"task": "transcribe", "language": "german", "duration": 8.5, "text": text, "usage": usage})
    return Reply.json({"text": text, "usage": usage})


def moderation(request: Received) -> Reply:
    """The reply of `/v1/moderations`: what is about violence is flagged."""
    body = request.json()
    check_fields(body, "model", "the body", required="input")
    texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
    results = [_judged("fight" in text) for text in texts]
    return Reply.json({"id": "modr-1", "model": body["model"], "results": results})


def _transcribed(text: str) -> Iterator[bytes]:
    deltas = ({"type": "transcript.text.delta", "delta": piece} for piece in pieces(text))
    usage = {"type": "tokens", "input_tokens": 14, "output_tokens": 5, "total_tokens": 19}
    done: JSON = {"type": "transcript.text.done", "text": text, "usage": usage}
    return chain(map(sse_event, chain(deltas, (done,))), (sse_event("[DONE]"),))


def _judged(violent: bool) -> JSON:
    return {
        "flagged": violent,
        "categories": {name: violent and name == "violence" for name in _CATEGORIES},
        "category_scores": {name: 0.9 if violent and name == "violence" else 0.0 for name in _CATEGORIES},
        "category_applied_input_types": {name: ["text"] for name in _CATEGORIES},
    }

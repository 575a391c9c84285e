"""Speech, transcription and moderation with OpenAI's SDK."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
import pytest_asyncio
from openai.types.audio import Transcription, TranscriptionVerbose

from tests.support.fake_dialects import every_dialect
from tests.support.fake_dialects_sound import spoken
from tests.support.fake_vendor import FakeVendor
from tests.support.gateway import Gateway

TEXT = "Guten Morgen, 世界! " * 9
SPEAKING = ("openai/gpt-4o-mini-tts", "silliconflow/FunAudioLLM/CosyVoice2-0.5B", "minimax/speech-2.6-hd")
HEARING = ("openai/whisper-1", "azure/whisper", "groq/whisper-large-v3", "silliconflow/FunAudioLLM/SenseVoiceSmall")
SOUND = b"RIFF" + bytes(range(256)) * 400
NAMED = "ein Gespräch.wav"


@pytest.fixture(autouse=True)
def speaking(vendor: FakeVendor) -> None:
    vendor.default = every_dialect


@pytest.fixture(scope="module")
def sdk(gateway: Gateway) -> Iterator[openai.OpenAI]:
    options: dict[str, Any] = {"max_retries": 0, "_strict_response_validation": True}
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.key, **options) as client:
        yield client


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def async_sdk(gateway: Gateway) -> AsyncIterator[openai.AsyncOpenAI]:
    options: dict[str, Any] = {"max_retries": 0, "_strict_response_validation": True}
    async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.key, **options) as client:
        yield client


def told(model: str) -> str:
    """What the fakes hear in a file."""
    return f"{NAMED}, audio/wav: {len(SOUND)} Bytes für {model.partition('/')[2]}"


@pytest.mark.parametrize("model", SPEAKING)
async def test_speech_streams_into_a_file(sdk: openai.OpenAI, tmp_path: Path, model: str) -> None:
    file = tmp_path / "speech.mp3"

    def speak() -> str:
        with sdk.audio.speech.with_streaming_response.create(model=model, voice="alloy", input=TEXT) as response:
            response.stream_to_file(file)
            return response.headers["content-type"]

    assert await asyncio.to_thread(speak) == "audio/mpeg"
    assert file.read_bytes() == spoken(TEXT)


async def test_speech_comes_whole(async_sdk: openai.AsyncOpenAI) -> None:
    answer = await async_sdk.audio.speech.create(
        model="openai/gpt-4o-mini-tts", voice="coral", input=TEXT, response_format="wav", instructions="Kindly."
    )
    assert answer.content == spoken(TEXT)


@pytest.mark.parametrize("model", HEARING)
async def test_a_file_is_transcribed(async_sdk: openai.AsyncOpenAI, model: str) -> None:
    heard = await async_sdk.audio.transcriptions.create(model=model, file=(NAMED, SOUND, "audio/wav"))
    assert isinstance(heard, Transcription)
    assert heard.text == told(model)


async def test_a_file_is_transcribed_in_each_format(async_sdk: openai.AsyncOpenAI) -> None:
    model, file = "openai/whisper-1", (NAMED, SOUND, "audio/wav")
    text: Any = await async_sdk.audio.transcriptions.create(model=model, file=file, response_format="text")
    assert text == f"{told(model)}\n"
    verbose = await async_sdk.audio.transcriptions.create(
        model=model, file=file, response_format="verbose_json", timestamp_granularities=["word", "segment"]
    )
    assert isinstance(verbose, TranscriptionVerbose)
    assert (verbose.text, verbose.duration) == (told(model), 8.5)


async def test_a_transcription_streams(async_sdk: openai.AsyncOpenAI) -> None:
    model = "openai/gpt-4o-transcribe"
    stream = await async_sdk.audio.transcriptions.create(model=model, file=(NAMED, SOUND, "audio/wav"), stream=True)
    events = [event async for event in stream]
    assert "".join(event.delta for event in events if event.type == "transcript.text.delta") == told(model)
    last = events[-1]
    assert last.type == "transcript.text.done"
    assert last.text == told(model)
    assert last.usage is not None
    assert last.usage.output_tokens == 5


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")  # by the SDK, not by vendors
async def test_a_file_is_translated(async_sdk: openai.AsyncOpenAI) -> None:
    model = "groq/whisper-large-v3"
    heard = await async_sdk.audio.translations.create(model=model, file=(NAMED, SOUND, "audio/wav"))
    assert heard.text == told(model)


async def test_texts_are_moderated(async_sdk: openai.AsyncOpenAI) -> None:
    judged = await async_sdk.moderations.create(model="openai/omni-moderation-latest", input=["Hello", "A fight"])
    assert [result.flagged for result in judged.results] == [False, True]
    assert judged.results[1].categories.violence

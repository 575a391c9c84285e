"""A client's image request, read for dialects that are not OpenAI's: JSON, or a form with the pictures to edit."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import msgspec
from msgspec import Raw, Struct

from processor.dialects.base import Asked, Upload
from processor.dialects.chat_request import HINTS, Parameters, unsupported
from processor.dialects.openai_chat_edits import matches
from processor.errors import MalformedRequest
from processor.wire.json import JSON, JSONError, decode, raw

MOST = 10
"""Pictures of one request, by OpenAI's own limit: each may be a call."""

Form = Literal["url", "b64_json"]
"""How a picture comes back."""

_HINTS = HINTS | {"moderation"}

_HARMLESS: Mapping[str, tuple[object, ...]] = {
    "quality": ("auto", "standard"),
    "background": ("auto", "opaque"),
    "partial_images": (0,),
    "output_compression": (100,),
    "input_fidelity": ("low",),
}
"""Values that ask for what happens anyway."""

_NUMBERS = (
    "n",
    "seed",
    "output_compression",
    "partial_images",
    "batch_size",
    "cfg",
    "guidance",
    "guidance_scale",
    "num_inference_steps",
    "steps",
)
_FLAGS = ("aigc_watermark", "prompt_extend", "prompt_optimizer", "watermark", "watermark_enabled")
_KINDS: Mapping[str, Any] = {**dict.fromkeys(_NUMBERS, int | float), **dict.fromkeys(_FLAGS, bool)}
"""What is no text, though in a form it looks like one."""

_MEDIA_TYPES = (("iVBORw0KGgo", "image/png"), ("/9j/", "image/jpeg"), ("UklGR", "image/webp"), ("R0lGOD", "image/gif"))
"""By the first letters of the base64."""


class _Address(Struct, gc=False):
    image_url: str | None = None
    file_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What every image request may hold."""

    prompt: str
    count: int = 1
    size: str = ""
    """As the client wrote it; empty when the vendor is to choose."""
    form: Form | None = None
    """None when the client takes what comes."""
    pictures: tuple[str, ...] = ()
    """What is to be edited: URLs, `data:` ones for files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How a vendor is told the number of pictures, and which of its models make several a call."""

    name: str = "n"
    most: tuple[tuple[str, int], ...] = ()
    """Models, as shell-style patterns, and how many they make a call; the first that fits. Others make one."""

    def fields(self, count: int, model: str) -> list[JSON]:
        """The request's fields for each of the calls that `count` pictures take."""
        most = next((most for pattern, most in self.most if matches(model, (pattern,))), None)
        if most is None:
            return [{}] * count
        whole, rest = divmod(count, most)
        return [{self.name: most}] * whole + [{self.name: rest}] * bool(rest)


def image_parameters(asked: Asked) -> Parameters:
    """The parameters; a form's texts are numbers and flags where that is what they mean.

    Raises:
        MalformedRequest: a stream is wanted: only OpenAI's own dialect has one.
    """
    if asked.stream and not asked.drop_params:
        raise unsupported("stream", asked.model)
    if not asked.uploads:
        return Parameters(asked)
    return Parameters(replace(asked, fields={name: _typed(name, found) for name, found in asked.fields.items()}))


def wanted(parameters: Parameters, asked: Asked, *, edit: bool) -> Wanted:
    """Take what every image request may hold.

    Raises:
        MalformedRequest: a parameter is wrong, or there is nothing to edit.
    """
    prompt = parameters.take("prompt", str, "")
    if not prompt:
        raise MalformedRequest("`prompt` must be a text that is not empty.", param="prompt")
    count = parameters.take("n", int, 1)
    if not 1 <= count <= MOST:
        raise MalformedRequest(f"`n` must be between 1 and {MOST}.", param="n")
    size = parameters.take("size", str, "auto")
    return Wanted(
        prompt=prompt,
        count=count,
        size="" if size == "auto" else size,
        form=parameters.take("response_format", Form),
        pictures=_pictures(parameters, asked) if edit else (),
    )


def settle(parameters: Parameters, asked: Asked) -> None:
    """The rest: what changes nothing may be left out.

    Raises:
        MalformedRequest: a parameter asks for something the vendor cannot do.
    """
    for name, values in _HARMLESS.items():
        found = parameters.take(name, Raw)
        if found is not None and decode(found) not in values and not asked.drop_params:
            raise unsupported(name, asked.model)
    parameters.settle(hints=_HINTS)


def taken(parameters: Parameters, names: Mapping[str, str]) -> JSON:
    """The parameters that the vendor has too, as the client wrote them, under the vendor's names."""
    found = ((vendors, parameters.take(name, Raw)) for name, vendors in names.items())
    return {vendors: value for vendors, value in found if value is not None}


def varied(body: JSON, call: int) -> JSON:
    """The body of one of several calls: each has a seed of its own, or all would make the same picture."""
    seed = decode(body["seed"]) if call and "seed" in body else None
    return {**body, "seed": seed + call} if isinstance(seed, int) else body


def data_url(base64: str, media_type: str = "") -> str:
    """A picture as a URL; its first bytes tell what it is, if nobody does."""
    if not media_type.startswith("image/"):
        media_type = next((kind for start, kind in _MEDIA_TYPES if base64.startswith(start)), "image/png")
    return f"data:{media_type};base64,{base64}"


def _typed(name: str, text: Raw) -> Raw:
    kind = _KINDS.get(name)
    if kind is None:
        return text
    try:
        return raw(msgspec.json.decode(text, type=kind, strict=False))
    except JSONError:
        return text  # whoever takes it says what is wrong


def _pictures(parameters: Parameters, asked: Asked) -> tuple[str, ...]:
    """Files of a form, and addresses: OpenAI's `images`, or `image` as other vendors' clients write it."""
    found = [*_files(asked), *_addresses(parameters)]
    if not found:
        raise MalformedRequest("`image` is missing.", param="image", code="missing_parameter")
    return tuple(found)


def _files(asked: Asked) -> Iterator[str]:
    for upload in asked.uploads:
        if upload.name.removesuffix("[]") == "image":
            yield _inline(upload)
        elif not asked.drop_params:
            raise unsupported(upload.name, asked.model)


def _inline(upload: Upload) -> str:
    return data_url(b64encode(upload.body).decode(), upload.content_type.partition(";")[0].strip().lower())


def _addresses(parameters: Parameters) -> Iterator[str]:
    image = parameters.take("image", str | list[str], [])
    yield from [image] if isinstance(image, str) else image
    for number, address in enumerate(parameters.take("images", list[_Address], [])):
        if not address.image_url:
            param = f"images[{number}]"
            raise MalformedRequest(f"`{param}` must have an `image_url`: files are not kept here.", param=param)
        yield address.image_url

"""Blocks of an Anthropic Messages request that stand for content, as parts of a chat message."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec import Raw, Struct

from processor.dialects.chat_request import typed
from processor.errors import MalformedRequest
from processor.wire.json import JSON

_NOTHING = Raw(b"null")


class Source(Struct, gc=False):
    """Where a picture or a document is."""

    type: str
    media_type: str | None = None
    data: str | None = None
    url: str | None = None
    file_id: str | None = None
    content: str | list[Block] | None = None


class Block(Struct, gc=False):
    """A piece of a message; which fields it has is a matter of its type."""

    type: str
    text: str | None = None
    source: Source | str | None = None
    """A search result's is a text."""
    title: str | None = None
    context: str | None = None
    id: str | None = None
    name: str | None = None
    input: Raw = _NOTHING
    tool_use_id: str | None = None
    content: Raw = _NOTHING
    """A text or blocks; what Anthropic's own tools found is of other forms."""
    is_error: bool | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None


Content = str | list[Block]


def parts_of(content: Content, param: str, *, drop_params: bool) -> list[JSON]:
    """Content as parts; empty texts, which vendors refuse, are left out.

    Raises:
        MalformedRequest: a block is wrong, or a chat has nothing like it and `drop_params` is not set.
    """
    if isinstance(content, str):
        return text_parts(content)
    pieces = (block_parts(block, f"{param}[{at}]", drop_params=drop_params) for at, block in enumerate(content))
    return [part for piece in pieces for part in piece]


def block_parts(block: Block, param: str, *, drop_params: bool) -> list[JSON]:
    """One block as parts, as `parts_of` does."""
    if reader := _PARTS.get(block.type):
        return reader(block, param)
    if drop_params:
        return []
    raise not_offered(block, param)


def text_parts(text: str | None) -> list[JSON]:
    """A text as parts; none for an empty one."""
    return [{"type": "text", "text": text}] if text else []


def text_of(content: Content, param: str) -> str:
    """Content where only text may stand.

    Raises:
        MalformedRequest: it holds something else.
    """
    if isinstance(content, str):
        return content
    for number, block in enumerate(content):
        if block.type != "text":
            raise MalformedRequest(f"`{param}` may hold text only.", param=f"{param}[{number}]")
    return "\n\n".join(block.text for block in content if block.text)


def not_offered(block: Block, param: str) -> MalformedRequest:
    """The refusal of a block that a chat has nothing like."""
    message = f"Blocks of type `{block.type}` are not offered over a chat. Leave them out, or set `drop_params: true`."
    return MalformedRequest(message, param=f"{param}.type", code="unsupported_parameter")


def content_of(block: Block, param: str) -> Content:
    """A block's own content.

    Raises:
        MalformedRequest: it is neither a text nor blocks.
    """
    content: Content | None = typed(block.content, Content | None, f"{param}.content")
    return content or ""


def _image(block: Block, param: str) -> list[JSON]:
    source = _source(block, param)
    if source.type == "url" and source.url:
        return [_picture(source.url)]
    return [_picture(_data_url(source, "image/png", param))]


def _picture(url: str) -> JSON:
    return {"type": "image_url", "image_url": {"url": url}}


def _document(block: Block, param: str) -> list[JSON]:
    """A PDF as a file, and text as text, behind its title and its context."""
    source = _source(block, param)
    head = text_parts("\n".join(filter(None, (block.title, block.context))))
    if source.type == "text":
        return head + text_parts(source.data)
    if source.type == "content":
        return head + _inner(source.content or "", f"{param}.source.content")
    if source.type == "file" and source.file_id:
        return [*text_parts(block.context), {"type": "file", "file": {"file_id": source.file_id}}]
    data = _data_url(source, "application/pdf", param)
    file = {"filename": block.title or "document.pdf", "file_data": data}
    return [*text_parts(block.context), {"type": "file", "file": file}]


def _search_result(block: Block, param: str) -> list[JSON]:
    """What a client's own search found, behind its title and its address."""
    source = block.source if isinstance(block.source, str) else ""
    found = _inner(content_of(block, param), f"{param}.content")
    return text_parts("\n".join(filter(None, (block.title, source)))) + found


def _inner(content: Content, param: str) -> list[JSON]:
    """Content inside a document or a search result: text and pictures."""
    for number, block in enumerate(content if isinstance(content, list) else ()):
        if block.type not in ("text", "image"):
            raise not_offered(block, f"{param}[{number}]")
    return parts_of(content, param, drop_params=False)


def _source(block: Block, param: str) -> Source:
    if not isinstance(block.source, Source):
        raise MalformedRequest(f"`{param}.source` is missing.", param=f"{param}.source")
    return block.source


def _data_url(source: Source, media_type: str, param: str) -> str:
    if source.type != "base64" or not source.data:
        message = f"A source of type `{source.type}` is not offered here."
        raise MalformedRequest(message, param=f"{param}.source.type")
    return f"data:{source.media_type or media_type};base64,{source.data}"


_PARTS: Mapping[str, Callable[[Block, str], list[JSON]]] = {
    "text": lambda block, _: text_parts(block.text),
    "image": _image,
    "document": _document,
    "search_result": _search_result,
}
"""How each type is read: the block, and its place in the request."""

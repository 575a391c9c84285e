"""A chat's thinking as blocks of Anthropic's Messages, and back: what a vendor wants to see again stays unread between.

Clients of Messages return `signature` and `data` as they got them. Claude's own stand there as they are; what other
vendors sign or hide (`reasoning_details`, and a call's `extra_content`) is sealed into them.
"""

from __future__ import annotations

from typing import Any

from processor.dialects.chat_answer import reasoning_encrypted, reasoning_text
from processor.dialects.inbound_seal import changed, is_sealed, sealed, unsealed
from processor.wire.json import JSON

_CLAUDE = "anthropic-claude-v1"
"""OpenRouter's name for Claude's entries in `reasoning_details`."""
_TEXTS = {"reasoning.text": "text", "reasoning.summary": "summary"}
"""Where each readable kind of entry has its text."""


def is_readable(detail: JSON) -> bool:
    """Whether an entry of `reasoning_details` is thinking that a client may read."""
    return detail.get("type") in _TEXTS


def text_of(detail: JSON) -> str:
    """The text of a readable entry."""
    text: Any = detail.get(_TEXTS.get(str(detail.get("type")), "text"))
    return text if isinstance(text, str) else ""


def signature_of(detail: JSON) -> str:
    """A block's `signature` for the entry, or for all its pieces together, whose text the block tells."""
    signature = detail.get("signature")
    if detail.get("format") in (None, _CLAUDE) and detail.get("type") != "reasoning.summary":
        return signature if isinstance(signature, str) else ""
    return sealed({name: value for name, value in detail.items() if name not in _TEXTS.values()})


def thinking_block(text: str, signature: str) -> JSON:
    """A block of thinking; one that nobody signed has an empty signature."""
    return {"type": "thinking", "thinking": text, "signature": signature}


def hidden_block(detail: JSON) -> JSON:
    """A block for an entry that no client can read."""
    data = detail.get("data")
    is_claudes = detail.get("format") in (None, _CLAUDE) and isinstance(data, str)
    return {"type": "redacted_thinking", "data": data if is_claudes else sealed(detail)}


def extra_block(call: str, extra: JSON) -> JSON:
    """A block to stand before a call, with what the vendor wants to see of it again: Gemini signs its calls so."""
    return {"type": "redacted_thinking", "data": sealed({"call": call, "extra_content": extra})}


def detail_of(text: str, signature: str, *, param: str) -> JSON | None:
    """The entry a block of thinking was; None if nobody signed it.

    Raises:
        MalformedRequest: the signature is the gateway's, and was changed.
    """
    if not signature:
        return None
    if not is_sealed(signature):
        return reasoning_text(text, signature, _CLAUDE)
    detail = _object(signature, param)
    return {**detail, _TEXTS.get(str(detail.get("type")), "text"): text}


def hidden_of(data: str, *, param: str) -> JSON:
    """The entry a hidden block was, or the object with `call` and `extra_content` that `extra_block` sealed.

    Raises:
        MalformedRequest: the data is the gateway's, and was changed.
    """
    return _object(data, param) if is_sealed(data) else reasoning_encrypted(data, _CLAUDE)


def _object(text: str, param: str) -> JSON:
    value = unsealed(text, param=param)
    if not isinstance(value, dict):
        raise changed(param)
    return value

"""What the demo vendor says, in English or Chinese, and how it is cut into the pieces of a stream."""

from __future__ import annotations

import re

_ECHO_LIMIT = 500
"""Characters of the client's message that are quoted: enough to recognise it, and a bound on the answer."""

_CJK = "\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef"
_HAN = re.compile("[\u3400-\u9fff]")
_KANA_OR_HANGUL = re.compile("[\u3040-\u30ff\uac00-\ud7af]")
_LATIN_WORD = re.compile("[A-Za-z]+")
_PIECE = re.compile(rf"\s*(?:[{_CJK}]|[^\s{_CJK}]{{1,12}})|\s+")

_ENGLISH = (
    "This is the demo vendor built into the gateway. No model has read your message, and it has not left "
    "this machine.{echo} For real answers set a vendor's key, for example DEEPSEEK_API_KEY, and start the "
    "gateway again."
)
_CHINESE = (
    "这里是网关内置的演示供应商（demo vendor）。没有任何模型读过您的消息，它也没有离开本机。{echo}"
    "如需真实的回答，请设置一家供应商的密钥，例如 DEEPSEEK_API_KEY，然后重新启动网关。"
)
_ECHO = {False: " You said: “{said}”.", True: "您说的是：“{said}”。"}


def is_chinese(text: str) -> bool:
    """Whether a message is in Chinese, and not English, Japanese or Korean that holds some Han characters."""
    han = len(_HAN.findall(text))
    return han > 0 and han >= len(_LATIN_WORD.findall(text)) and not _KANA_OR_HANGUL.search(text)


def reply(said: str) -> str:
    """The answer to a user's last message, which it quotes; `said` may be empty."""
    chinese = is_chinese(said)
    echo = _ECHO[chinese].format(said=shortened(said)) if said else ""
    return (_CHINESE if chinese else _ENGLISH).format(echo=echo)


def shortened(text: str) -> str:
    """The text as far as it is quoted."""
    return text if len(text) <= _ECHO_LIMIT else text[:_ECHO_LIMIT] + "…"


def pieces(text: str) -> tuple[str, ...]:
    """Cut a text into words and CJK characters, roughly a token each; joined they are the text again."""
    return tuple(_PIECE.findall(text))

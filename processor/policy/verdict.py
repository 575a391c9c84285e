"""What the end of an attempt means: who is to blame, and who may be asked next. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from math import inf

from processor.errors import UpstreamError


class Blame(StrEnum):
    """Whose doing it was that an attempt ended as it did."""

    NONE = "none"
    """Nobody's: it was answered, or the client left, or the gateway itself failed."""
    TARGET = "target"
    """The target failed: no connection, a reset, a status of 5xx, too late, an error inside a 200."""
    LIMIT = "limit"
    """The target has had enough of us for now."""
    CREDENTIAL = "credential"
    """The target does not take our key, or its account is out of funds: an operator should know."""
    CLIENT = "client"
    """The request cannot be answered as it is."""
    CONTENT = "content"
    """The vendor's filter refused what was asked or what came of it; nobody else is asked to get around it."""
    CONTEXT = "context"
    """The request is longer than the model's context: only a target with a larger one helps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How an attempt ended, in OpenAI's terms."""

    status: int | None
    """The vendor's, or the one an error inside a 200 stands for; None where there was no answer at all."""
    code: str = ""
    type: str = ""
    message: str = ""
    """The vendor's own words; some vendors tell only in them what is the matter."""
    content_seen: bool = False
    """Whether the client has got a part of the answer."""
    retry_after: float | None = None
    """Seconds, as the vendor asked."""

    @staticmethod
    def of(error: UpstreamError, *, content_seen: bool = False, retry_after: float | None = None) -> Outcome:
        """The outcome an error stands for."""
        return Outcome(
            status=error.status,
            code=error.code,
            type=error.type,
            message=error.message,
            content_seen=content_seen,
            retry_after=retry_after,
        )


UNREACHED = Outcome(status=None, code="upstream_unavailable")
"""No connection, or one that was reset before an answer."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What follows from an outcome."""

    retry_next: bool
    """Whether another target may be asked."""
    retry_same: bool
    """Whether the same target may be asked once more: after what its Retry-After says, else after a backoff."""
    blame: Blame
    cooldown: float | None
    """Seconds for which the target is better left alone, whatever else is known of it."""


ANSWERED = Verdict(retry_next=False, retry_same=False, blame=Blame.NONE, cooldown=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cooldowns:
    """Seconds for which a target is left alone."""

    limit: float = 5.0
    """After a 429 that does not say how long: limits are mostly counted by the minute, or by the second."""
    credential: float = 300.0
    """After a rejected key: somebody has to do something about it."""
    most: float = 3600.0
    """Of what vendors ask for: a daily quota may be raised before its day is over."""


DEFAULT_COOLDOWNS = Cooldowns()

_BY_STATUS = {
    401: Blame.CREDENTIAL,
    402: Blame.CREDENTIAL,
    403: Blame.CREDENTIAL,
    408: Blame.TARGET,
    409: Blame.TARGET,
    425: Blame.TARGET,
    429: Blame.LIMIT,
    451: Blame.CONTENT,  # SiliconFlow's answer to sensitive content
}
"""Other statuses of 4xx are the client's doing, whatever else is no success the target's."""

_BY_CODE = {
    "insufficient_quota": Blame.CREDENTIAL,  # vendor_errors' word for every vendor's bill
    "unsupported_country_region_territory": Blame.CREDENTIAL,  # OpenAI: no key helps from here
    "request_lost": Blame.NONE,  # the gateway's own
    "1026": Blame.CONTENT,  # MiniMax: sensitive input
    "1027": Blame.CONTENT,  # MiniMax: sensitive output
    "1301": Blame.CONTENT,  # Zhipu
    "10013": Blame.CONTENT,  # Xunfei: input
    "10014": Blame.CONTENT,  # Xunfei: output
    "10019": Blame.CONTENT,  # Xunfei
    "invalid_prompt": Blame.CONTENT,  # OpenAI's reasoning models
    "1261": Blame.CONTEXT,  # Zhipu
    "10907": Blame.CONTEXT,  # Xunfei
}

_BY_WORD = (
    ("content_filter", Blame.CONTENT),
    ("content_policy", Blame.CONTENT),  # OpenAI's images
    ("moderation_blocked", Blame.CONTENT),  # OpenAI's images
    ("responsibleai", Blame.CONTENT),  # Azure
    ("inspection", Blame.CONTENT),  # DashScope
    ("riskdetection", Blame.CONTENT),  # Ark
    ("sensitive", Blame.CONTENT),  # Ark
    ("illegaldetected", Blame.CONTENT),  # Tencent
    ("unsafe", Blame.CONTENT),  # Qianfan
    ("prohibited_content", Blame.CONTENT),  # Gemini
    ("context_length", Blame.CONTEXT),  # OpenAI, Azure, Groq
    ("context_window", Blame.CONTEXT),
    ("context_size", Blame.CONTEXT),  # llama.cpp
    ("tokens_too_long", Blame.CONTEXT),  # Qianfan
    ("characters_too_long", Blame.CONTEXT),  # Qianfan
)
"""By what codes and types are made of, in lower case."""

_OUTSPOKEN = frozenset({401, 402, 408, 429, 503, 504})
"""Statuses that no word can mean otherwise: Bedrock's 429 says "too many tokens, please wait"."""

_FUNDS = re.compile(
    r"credit balance|(?:insufficient|low|not enough) (?:account )?(?:balance|credit|funds)"
    r"|balance is (?:insufficient|not enough|too low)|account (?:is )?(?:overdue|in arrears)|余额不足|欠费"
    r"|(?:user )?location is not supported|api key (?:expired|not valid)",
    re.IGNORECASE,
)
"""Anthropic tells with a 400 that there is no credit; Google that it does not serve this country, or an old key."""

_CONTEXT = re.compile(
    r"context (?:length|window|size|limit)"  # OpenAI, DeepSeek, vLLM, SGLang, MiniMax, llama.cpp, Anthropic
    r"|(?:prompt|input) (?:is )?too long|too long for (?:the )?requested model"  # Anthropic, Bedrock
    r"|input tokens? (?:count )?[^.]{0,40}exceeds?|too many (?:input )?tokens"  # OpenAI, Gemini, Bedrock, Cohere
    r"|range of input length|input length [^.]{0,40}exceeds?"  # DashScope, Ark
    r"|exceed(?:s|ed)? (?:the )?(?:model |max(?:imum)? )(?:message |prompt |input |number of )?tokens?"  # Moonshot, Ark
    r"|max_seq_len|maximum prompt length|maximum model length|`inputs` tokens"  # SiliconFlow, xAI, vLLM, TGI
    r"|prompt ?超长|输入[^。]{0,20}(?:超长|过长)|上下文[^。]{0,20}超|tokens?[^。]{0,20}超(?:过|出|限)",  # Zhipu, Xunfei
    re.IGNORECASE,
)

_CONTENT = re.compile(
    r"content[ _]?filter|content management policy|content polic|content exists risk"  # Anthropic, Azure, DeepSeek
    r"|usage (?:polic|guideline)|safety system|safety (?:check|setting|filter)|considered high risk"  # OpenAI, Moonshot
    r"|(?:inappropriate|sensitive|prohibited|harmful) (?:content|information|words?)|new_sensitive"  # Ali, Ark, MiniMax
    r"|敏感|违规|不当内容|不安全",
    re.IGNORECASE,
)

_BY_MESSAGE = ((Blame.CREDENTIAL, _FUNDS), (Blame.CONTEXT, _CONTEXT), (Blame.CONTENT, _CONTENT))
"""The first that fits."""

_TALKATIVE = frozenset({400, 403, 413, 422})
"""Statuses that may mean anything, so that the message has to be read."""
_READ = 1024
"""Characters of a message that are: what is the matter stands at its beginning."""

_SLOW = frozenset({"upstream_timeout", "upstream_stalled"})
"""The same target would cost the same wait again."""
_AGAIN = frozenset({None, 409, 425, 500, 502})
"""What may have been a lone mishap: no answer at all counts as one."""
_ELSEWHERE = frozenset({404, 410})
"""The vendor has no such model, or has it no more; another may have its own."""
_NEXT = frozenset({Blame.TARGET, Blame.LIMIT, Blame.CREDENTIAL})


def judge(outcome: Outcome, cooldowns: Cooldowns = DEFAULT_COOLDOWNS) -> Verdict:
    """What an outcome means.

    An answer that the client has a part of is never retried here; whether it is rescued, its blame tells. Where the
    context was too short, `retry_next` is false too: only a roomier target could help.
    """
    blame = blame_of(outcome)
    if blame is Blame.NONE:
        return ANSWERED
    fresh = not outcome.content_seen
    return Verdict(
        retry_next=fresh and (blame in _NEXT or (blame is Blame.CLIENT and outcome.status in _ELSEWHERE)),
        retry_same=fresh and _may_recover(outcome, blame),
        blame=blame,
        cooldown=_cooldown(blame, outcome.retry_after, cooldowns),
    )


def blame_of(outcome: Outcome) -> Blame:
    """Whose doing an outcome is: its code tells before its message, and that before its status."""
    status = outcome.status
    if status is None:
        return Blame.TARGET
    if 200 <= status < 300:
        return Blame.NONE
    return (
        _told_by_code(outcome)
        or _told_by_message(outcome)
        or _BY_STATUS.get(status)
        or (Blame.CLIENT if 400 <= status < 500 else Blame.TARGET)
    )


def _told_by_code(outcome: Outcome) -> Blame | None:
    if blame := _BY_CODE.get(outcome.code) or _BY_CODE.get(outcome.type):
        return blame if blame in (Blame.CREDENTIAL, Blame.NONE) or outcome.status not in _OUTSPOKEN else None
    if outcome.status in _OUTSPOKEN:
        return None
    text = f"{outcome.code} {outcome.type}".lower()
    return next((blame for word, blame in _BY_WORD if word in text), None)


def _told_by_message(outcome: Outcome) -> Blame | None:
    if outcome.status not in _TALKATIVE:
        return None
    message = outcome.message[:_READ]
    return next((blame for blame, pattern in _BY_MESSAGE if pattern.search(message)), None)


def _may_recover(outcome: Outcome, blame: Blame) -> bool:
    if blame is Blame.TARGET and outcome.status in _AGAIN and outcome.code not in _SLOW:
        return True
    return blame in (Blame.TARGET, Blame.LIMIT) and outcome.retry_after is not None


def _cooldown(blame: Blame, asked: float | None, cooldowns: Cooldowns) -> float | None:
    if blame is Blame.CREDENTIAL:
        return cooldowns.credential
    if blame not in (Blame.TARGET, Blame.LIMIT):
        return None
    if asked is not None and 0 <= asked < inf:
        return min(asked, cooldowns.most)
    return cooldowns.limit if blame is Blame.LIMIT else None

"""What is particular to one vendor's chat answers, whole or streamed: the repairs, and how it says that it failed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from msgspec import UNSET

from processor.dialects.openai_chat_repairs import Repair, SoFar
from processor.dialects.openai_chat_skim import Skim
from processor.dialects.vendor_errors import error_inside, refused
from processor.errors import UpstreamRefused
from processor.wire.json import JSON, decode, encode

_NUMBER = re.compile(r"-?[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class CodeInside:
    """An error reported as a code inside a 200, beside OpenAI's own `error`, which is always looked for."""

    place: tuple[str, ...]
    """Keys down to the code, such as `base_resp`, `status_code`; `Skim` has to have them too."""
    message: str
    """The key of the message beside it."""
    statuses: Mapping[int, int]
    """The HTTP status each code means; 502 for others."""

    def suspects(self, seen: Skim) -> bool:
        """Whether there is a code that is not 0."""
        value: Any = seen
        for name in self.place:
            value = getattr(value, name, None)
        return bool(value)

    def error_in(self, answer: JSON) -> UpstreamRefused | None:
        """The error, if the code says that there is one."""
        holder: Any = answer
        for name in self.place[:-1]:
            holder = holder.get(name) if isinstance(holder, dict) else None
        code = holder.get(self.place[-1]) if isinstance(holder, dict) else None
        if not isinstance(code, int | str) or not _NUMBER.fullmatch(str(code)) or int(code) == 0:
            return None
        message = holder.get(self.message) or f"The vendor reported error {code}."
        return refused(self.statuses.get(int(code), 502), str(message), code=str(code))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """All of it."""

    repairs: tuple[Repair, ...] = ()
    """In this order."""
    check: CodeInside | None = None
    statuses: Mapping[str, int] = field(default_factory=dict)
    """The HTTP status the vendor's codes mean where they come in an `error` inside a 200."""

    def concern(self, seen: Skim, so_far: SoFar) -> bool:
        """Whether an answer has to be parsed: for an error it may hold, or for a repair."""
        if seen.error is not UNSET or seen.choices is UNSET:
            return True
        if self.check is not None and self.check.suspects(seen):
            return True
        for repair in self.repairs:  # noqa: SIM110 - a generator costs as much again, for every chunk
            if repair.needed(seen, so_far):
                return True
        return False

    def mend(self, data: bytes, so_far: SoFar) -> bytes | None:
        """The answer in OpenAI's form, the same bytes if it was so already; None if it is no object.

        Raises:
            UpstreamRefused: the answer is an error.
            JSONError: it is not JSON.
        """
        answer = decode(data)
        if not isinstance(answer, dict):
            return None
        if self.check is not None and (error := self.check.error_in(answer)):
            raise error
        if error := error_inside(answer, self.statuses):
            raise error
        changed = [repair.apply(answer, so_far) for repair in self.repairs]
        return encode(answer) if any(changed) else data

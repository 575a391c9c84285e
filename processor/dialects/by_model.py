"""One operation whose models speak differently: the translator that fits the model."""

from __future__ import annotations

from dataclasses import dataclass

from processor.dialects.base import Asked, ClientResponse, Pending, StreamTranslator, Translator, UpstreamRequest
from processor.dialects.openai_chat_edits import matches


@dataclass(frozen=True, slots=True, kw_only=True)
class ByModel:
    """The Translator of several. Models are shell-style patterns, matched in lower case; the first that fits."""

    choices: tuple[tuple[tuple[str, ...], Translator], ...]
    otherwise: Translator

    def request(self, asked: Asked) -> UpstreamRequest:
        """As the model's translator has it."""
        return self._of(asked).request(asked)

    def response(self, body: bytes, asked: Asked) -> ClientResponse | Pending:
        """As the model's translator has it."""
        return self._of(asked).response(body, asked)

    def stream(self, asked: Asked) -> StreamTranslator:
        """As the model's translator has it."""
        return self._of(asked).stream(asked)

    def _of(self, asked: Asked) -> Translator:
        fitting = (translator for models, translator in self.choices if matches(asked.model, models))
        return next(fitting, self.otherwise)

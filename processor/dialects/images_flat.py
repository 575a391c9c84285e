"""Images from vendors that take one flat JSON object and answer at once; what is particular to each is data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from processor.dialects.base import Asked, ClientResponse, Pending, UpstreamRequest
from processor.dialects.chat_request import Parameters, unsupported
from processor.dialects.image_sizes import Sides, SizeForm
from processor.dialects.images import Check, Reader, answer_of, gathered, listed, read_answer
from processor.dialects.images_request import Counts, Wanted, image_parameters, settle, taken, varied, wanted
from processor.dialects.openai_chat_edits import matches
from processor.errors import MalformedRequest, UpstreamProtocolError
from processor.wire.json import JSON, encode


@dataclass(frozen=True, slots=True, kw_only=True)
class FlatImages:
    """The Translator of `/images/generations`, or of `/images/edits` where `pictures` are named.

    Models are shell-style patterns, matched in lower case.
    """

    path: str
    sizes: tuple[SizeForm, ...] = (Sides(),)
    """Of these the first that is for the model."""
    counts: Counts = field(default_factory=Counts)
    """Where one call is not enough, the others are made all at once."""
    forms: Mapping[str, str] = field(default_factory=dict)
    """The vendor's words for `url` and `b64_json`, if it can be told."""
    form: str = "response_format"
    pictures: tuple[str, ...] = ()
    """What the pictures to edit are called: one name holds one or a list, several hold one each."""
    takes: Mapping[str, str] = field(default_factory=dict)
    """Other parameters, OpenAI's and the vendor's own: the client's name to the vendor's."""
    words: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """For parameters whose words differ: OpenAI's to the vendor's."""
    always: Mapping[str, Any] = field(default_factory=dict)
    """Sent unless the client says otherwise."""
    lower_case: bool = False
    """Whether the vendor knows models by their names in lower case only."""
    read: Reader = listed
    check: Check | None = None
    statuses: Mapping[str, int] = field(default_factory=dict)

    def request(self, asked: Asked) -> UpstreamRequest:
        """The first call, as a rule the only one."""
        return self._calls(asked)[1][0]

    def response(self, body: bytes, asked: Asked) -> ClientResponse | Pending:
        """The pictures, once the other calls are made."""
        wanting, (_, *others) = self._calls(asked)
        return gathered(
            body,
            others,
            lambda found: read_answer(found, self.statuses, self.check),
            lambda answers: answer_of(answers, self.read, asked, wanting.form, self.statuses),
        )

    def stream(self, asked: Asked) -> NoReturn:  # noqa: ARG002 - the protocol's shape
        """There is no such stream.

        Raises:
            UpstreamProtocolError: always.
        """
        raise UpstreamProtocolError("The vendor streamed an answer that is none.")

    def _calls(self, asked: Asked) -> tuple[Wanted, list[UpstreamRequest]]:
        parameters = image_parameters(asked)
        wanting = wanted(parameters, asked, edit=bool(self.pictures))
        body: JSON = {"model": asked.model.lower() if self.lower_case else asked.model, "prompt": wanting.prompt}
        body |= self._size(wanting, asked) | self._form(wanting) | self._pictures(wanting)
        body |= {**self.always, **self._worded(parameters, asked), **taken(parameters, self.takes)}
        settle(parameters, asked)
        counts = self.counts.fields(wanting.count, asked.model)
        bodies = [varied({**body, **count}, call) for call, count in enumerate(counts)]
        return wanting, [UpstreamRequest(path=self.path, body=encode(found)) for found in bodies]

    def _size(self, wanting: Wanted, asked: Asked) -> JSON:
        form = next((form for form in self.sizes if matches(asked.model, form.models)), None)
        if form is not None:
            return form.fields(wanting.size)
        if wanting.size and not asked.drop_params:
            raise unsupported("size", asked.model)
        return {}

    def _form(self, wanting: Wanted) -> JSON:
        word = self.forms.get(wanting.form or "")
        return {self.form: word} if word else {}

    def _pictures(self, wanting: Wanted) -> JSON:
        pictures = list(wanting.pictures)
        if len(self.pictures) == 1:
            return {self.pictures[0]: pictures[0] if len(pictures) == 1 else pictures}
        if len(pictures) > len(self.pictures):
            raise MalformedRequest(f"This model edits up to {len(self.pictures)} images.", param="image")
        return dict(zip(self.pictures, pictures, strict=False))

    def _worded(self, parameters: Parameters, asked: Asked) -> JSON:
        """Parameters in the vendor's words; one that there is no word for is refused."""
        found: JSON = {}
        for name, words in self.words.items():
            word = parameters.take(name, str)
            if word in words:
                found |= {name: words[word]} if words[word] else {}
            elif word is not None and not asked.drop_params:
                raise unsupported(name, asked.model)
        return found


def same(*names: str) -> dict[str, str]:
    """Parameters that the vendor calls as the client does."""
    return {name: name for name in names}

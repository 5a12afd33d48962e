"""Answers to texts and chats: `/chat/completions`, always streamed from the provider."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any, Final

from pydantic import ConfigDict, Field

from modelyard_contracts.inference.generate import USER, ChatMessage, Prompt, Usage
from modelyard_contracts.messages import Part
from modelyard_flavours.errors import BadParameter, ProviderError
from modelyard_flavours.parameters import parsed
from modelyard_flavours.predictor import Ended
from modelyard_flavours.providers.access import Access, Terms
from modelyard_flavours.providers.call import BAD_ANSWER, TOO_LONG, Answer, called
from modelyard_flavours.providers.limits import Throttle

PATH: Final = "/chat/completions"
MAX_NEW_TOKENS: Final = 256
"""Tokens of an answer, if the request sets no `max_tokens`."""
BYTES_PER_TOKEN: Final = 6
"""Of a prompt: more than texts have on average, since tokenizers of providers are not known here. A prompt that has too
many tokens by this measure is refused without a call; the provider refuses the others, for nothing."""
REASONS: Final = frozenset({"stop", "length", "content_filter"})


class Parameters(Part):
    """Parameters of a request; those that are not sent are the provider's choice, except `max_tokens`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    max_tokens: int = Field(default=MAX_NEW_TOKENS, ge=1)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    seed: int | None = Field(default=None, ge=0, lt=2**63)


class ChatGenerator:
    """A model of a provider that answers with texts. Thread-safe: calls run beside each other.

    limit_name: field of the request with the most tokens of an answer.
    """

    classes: tuple[str, ...] = ()
    shape = (0, 1)
    remote = True
    """Each answer is a call that costs money, waits for another machine, and counts its own tokens."""

    def __init__(self, access: Access, model: str, limit_name: str) -> None:
        self._access, self._model, self._limit_name = access, model, limit_name
        self._throttle = Throttle()

    def generate(self, prompt: Prompt, parameters: Mapping[str, Any]) -> Iterator[str]:
        """Pieces as the provider sends them; returns Ended. The call begins with the first piece.

        BadParameter names a parameter that is unknown or out of range, or the input if it exceeds the context.
        """
        wanted = parsed(Parameters, parameters)
        terms = self._access.terms()
        self._check_context(prompt, wanted.max_tokens, terms)
        return self._pieces(prompt, wanted, terms)

    def count_tokens(self, prompt: Prompt) -> int:
        """An estimate; the provider's own count is part of Ended."""
        return sum(len(message.content.encode()) for message in _chat(prompt)) // BYTES_PER_TOKEN

    def _check_context(self, prompt: Prompt, max_tokens: int, terms: Terms) -> None:
        limit = terms.model.context_tokens
        if limit is None:
            return
        name = f"connection {terms.name}: the context of {self._model} is {limit} tokens"
        if max_tokens >= limit:
            raise BadParameter("max_tokens", f"leaves no room for the input; {name}")
        if (count := self.count_tokens(prompt)) + max_tokens > limit:
            problem = f"has about {count} tokens, which with an answer of {max_tokens} is too much; {name}"
            raise BadParameter(_field(prompt), problem)

    def _pieces(self, prompt: Prompt, wanted: Parameters, terms: Terms) -> Generator[str, None, Ended]:
        body = {
            "model": self._model,
            "messages": [{"role": message.role, "content": message.content} for message in _chat(prompt)],
            "stream": True,
            "stream_options": {"include_usage": True},
            **wanted.model_dump(exclude={"max_tokens"}, exclude_none=True),
            self._limit_name: wanted.max_tokens,
        }
        try:
            with called(terms, self._throttle, PATH, body) as answer:
                ended = yield from _answered(answer, terms)
        except ProviderError as error:
            if error.code == TOO_LONG:
                raise BadParameter(_field(prompt), f"is too long for the model; {error}") from error
            raise
        if ended.usage is not None:
            self._throttle.used(ended.usage.input_tokens + ended.usage.output_tokens)
        return ended


def _chat(prompt: Prompt) -> Sequence[ChatMessage]:
    return [ChatMessage(USER, prompt)] if isinstance(prompt, str) else prompt


def _field(prompt: Prompt) -> str:
    return "text_input" if isinstance(prompt, str) else "messages"


def _answered(answer: Answer, terms: Terms) -> Generator[str, None, Ended]:
    """Pieces of a stream, or of a whole answer from a provider that does not stream."""
    reason, usage, seen = "", None, False
    for event in answer.events() if answer.streamed else [answer.document()]:
        usage = usage_of(event) or usage
        choices = event.get("choices")
        if not isinstance(choices, list) or (choices and not isinstance(choices[0], dict)):
            raise terms.error("the provider gave an answer without `choices`", BAD_ANSWER)
        if not choices:
            continue
        seen = True
        if text := _text(choices[0], terms):
            yield text
        if (given := choices[0].get("finish_reason")) is not None:
            reason = given if given in REASONS else "stop"
    if not seen or (answer.streamed and not reason):
        raise terms.error("the provider ended its answer without `finish_reason`", BAD_ANSWER)
    return Ended(reason or "stop", usage)


def _text(choice: Mapping[str, Any], terms: Terms) -> str:
    message = choice.get("delta", choice.get("message"))
    content = message.get("content") if isinstance(message, dict) else 0
    if content is None:  # the first piece names the role only
        return ""
    if not isinstance(content, str):
        raise terms.error("the provider gave a choice without text in `content`", BAD_ANSWER)
    return content


def usage_of(document: Mapping[str, Any]) -> Usage | None:
    """Tokens as the provider reports them; None if it does not, or reports no counts."""
    found = document.get("usage")
    if not isinstance(found, dict):
        return None
    counts = [found.get("prompt_tokens"), found.get("completion_tokens", 0)]
    if any(isinstance(count, bool) or not isinstance(count, int) or not 0 <= count < 2**31 for count in counts):
        return None
    return Usage(*counts)

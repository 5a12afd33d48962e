"""Text generation by a causal language model of the transformers library: one forward pass per token.

The loop is our own because a caller may leave after any token: `generate` of the library runs to its end in a call.
A chat goes through the tokenizer's chat template; so does a text, as one message of the user, if there is a template.
"""

from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any, Final, Literal

from pydantic import ConfigDict, Field

from modelyard_contracts.inference.generate import USER, ChatMessage, Prompt
from modelyard_contracts.messages import Part
from modelyard_flavours.errors import BadParameter, Inadmissible
from modelyard_flavours.parameters import parsed
from modelyard_flavours.predictor import LENGTH

MAX_NEW_TOKENS: Final = 256
"""Tokens of an answer, if the request sets no `max_tokens`."""
MIN_ROOM_TOKENS: Final = 1
"""Tokens of the context that an input must leave for its answer."""


class Parameters(Part):
    """Parameters of a request. Without a temperature above 0, the most likely token is chosen each time."""

    model_config = ConfigDict(extra="forbid", strict=True)

    max_tokens: int = Field(default=MAX_NEW_TOKENS, ge=1)
    temperature: float = Field(default=0.0, ge=0, le=10)
    top_p: float = Field(default=1.0, gt=0, le=1)
    """Least share of the probability that the tokens to draw from hold together."""
    seed: int | None = Field(default=None, ge=0, lt=2**63)


class TextGenerator:
    """A loaded model with its tokenizer, in inference mode."""

    classes: tuple[str, ...] = ()
    shape = (0, 1)

    def __init__(self, model: Any, tokenizer: Any) -> None:
        import torch

        self._torch, self._model, self._tokenizer = torch, model, tokenizer
        self._ends = _ends(model, tokenizer)
        self._context_tokens = int(getattr(model.config, "max_position_embeddings", 0) or tokenizer.model_max_length)

    def generate(self, prompt: Prompt, parameters: Mapping[str, Any]) -> Iterator[str]:
        """Pieces of the answer, one per token; a piece is empty while a character is not complete.

        BadParameter names a parameter that is unknown or out of range, the input if it fills the context, or `messages`
        if the model has no chat template or its template refuses them.
        """
        wanted = parsed(Parameters, parameters)
        tokens = self._tokens(prompt)
        room = self._context_tokens - tokens.shape[1]
        if room < MIN_ROOM_TOKENS:
            limit = self._context_tokens
            name = "text_input" if isinstance(prompt, str) else "messages"
            raise BadParameter(name, f"has {tokens.shape[1]} tokens; with its answer, {limit} at most")
        return self._pieces(tokens, wanted, min(wanted.max_tokens, room))

    def count_tokens(self, prompt: Prompt) -> int:
        """Tokens of the prompt as the model reads it."""
        return int(self._tokens(prompt).shape[1])

    def _tokens(self, prompt: Prompt) -> Any:
        if self._tokenizer.chat_template:
            chat = [ChatMessage(USER, prompt)] if isinstance(prompt, str) else prompt
            return self._tokenizer(self._templated(chat), return_tensors="pt", add_special_tokens=False).input_ids
        if not isinstance(prompt, str):
            raise BadParameter(
                "messages", "need a chat template, which the model's tokenizer lacks; send one text as text_input"
            )
        return self._tokenizer(prompt or self._tokenizer.bos_token or " ", return_tensors="pt").input_ids

    def _templated(self, chat: Sequence[ChatMessage]) -> str:
        """A chat as the text that the model was trained on. Templates refuse what they do not know, such as roles."""
        from jinja2 import TemplateError

        given = [{"role": message.role, "content": message.content} for message in chat]
        try:
            text: str = self._tokenizer.apply_chat_template(given, tokenize=False, add_generation_prompt=True)
        except TemplateError as error:
            raise BadParameter("messages", f"are refused by the model's chat template: {error}") from error
        return text

    def _pieces(self, tokens: Any, wanted: Parameters, count: int) -> Generator[str, None, Literal["length"] | None]:
        random = self._torch.Generator()
        random.manual_seed(wanted.seed) if wanted.seed is not None else random.seed()
        decoded, past = _Decoded(self._tokenizer), None
        reason: Literal["length"] | None = LENGTH
        for _ in range(count):
            with self._torch.inference_mode():
                out = self._model(input_ids=tokens, past_key_values=past, use_cache=True)
            past, token = out.past_key_values, self._choose(out.logits[0, -1].float(), wanted, random)
            if token in self._ends:
                reason = None
                break
            yield decoded.add(token)
            tokens = self._torch.tensor([[token]])
        if rest := decoded.rest():
            yield rest
        return reason

    def _choose(self, logits: Any, wanted: Parameters, random: Any) -> int:
        """Nucleus sampling (Holtzman et al., The curious case of neural text degeneration, 2020), or the maximum."""
        if wanted.temperature == 0:
            return int(logits.argmax())
        likely, order = self._torch.softmax(logits / wanted.temperature, dim=0).sort(descending=True)
        before = likely.cumsum(0) - likely
        likely[before >= wanted.top_p] = 0
        return int(order[self._torch.multinomial(likely, 1, generator=random)])


class _Decoded:
    """Text of tokens as they come: a token may hold a part of a character, and spaces depend on its neighbours."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._tokens: list[int] = []
        self._shown = 0
        """Tokens whose text was returned."""

    def add(self, token: int) -> str:
        """The text that this token adds; empty while it ends in a part of a character."""
        self._tokens.append(token)
        new = self._new()
        if new.endswith("\N{REPLACEMENT CHARACTER}"):
            return ""
        self._forget()
        return new

    def rest(self) -> str:
        """Text that was held back."""
        return self._new() if self._shown < len(self._tokens) else ""

    def _new(self) -> str:
        return self._text(self._tokens)[len(self._text(self._tokens[: self._shown])) :]

    def _forget(self) -> None:
        """Keep the last tokens only, as context of the next one: an answer costs the same per token at any length."""
        self._tokens = self._tokens[-8:]
        self._shown = len(self._tokens)

    def _text(self, tokens: list[int]) -> str:
        text: str = self._tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text


def _ends(model: Any, tokenizer: Any) -> frozenset[int]:
    """Tokens that end an answer: those of the generation configuration and that of the tokenizer."""
    found = [model.generation_config.eos_token_id, model.config.eos_token_id, tokenizer.eos_token_id]
    ends = frozenset(token for one in found for token in (one if isinstance(one, list) else [one]) if token is not None)
    if not ends:
        raise Inadmissible("config.json", "names no eos_token_id, so that no answer would end")
    return ends

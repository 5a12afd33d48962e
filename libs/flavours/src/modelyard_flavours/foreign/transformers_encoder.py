"""Embeddings by an encoder of the transformers library, as sentence-transformers computes them from the same folder.

Tokens, pooling, layers and normalisation follow the files of the folder; without `modules.json`, the vector is the mean
of the tokens, or what the options `pooling` and `normalize` say.
"""

from typing import Any, Final

import numpy as np

from modelyard_contracts.embeddings import Dense, Steps, UnusableSteps, read_steps
from modelyard_flavours.errors import Inadmissible
from modelyard_flavours.predictor import FloatArray, ObjectArray
from modelyard_flavours.version import Version

BATCH_ROWS: Final = 16
USUAL_TOKENS: Final = 512
"""Limit of a text if neither model nor tokenizer has one."""
UNLIMITED: Final = 1_000_000
"""Tokenizers without a limit name one above this."""


def steps_of(version: Version) -> Steps:
    """Steps of a version; Inadmissible if they are not known or give vectors of another size than the signature's."""

    def read(path: str) -> bytes | None:
        return (version.folder / path).read_bytes() if path in version.paths else None

    try:
        steps = read_steps(read, version.manifest.options)
    except UnusableSteps as error:
        file, _, problem = str(error).partition(": ")
        raise Inadmissible(file, problem) from error
    if steps.dimension != version.signature.width:
        raise Inadmissible(
            "signature.output.dimension",
            f"is {version.signature.width}; the model's vectors have {steps.dimension} values",
        )
    for layer in steps.dense:
        version.require(f"{layer.path}/model.safetensors")
    return steps


class TextEncoder:
    """A loaded encoder with its tokenizer, in inference mode and with one thread."""

    classes: tuple[str, ...] = ()
    shape = (0, 1)

    def __init__(self, model: Any, tokenizer: Any, version: Version) -> None:
        import torch

        self._torch, self._model, self._tokenizer = torch, model, tokenizer
        self._steps = steps_of(version)
        self._layers = [(_linear(layer, version), getattr(torch.nn, layer.activation)()) for layer in self._steps.dense]
        self._rows = BATCH_ROWS if tokenizer.pad_token_id is not None else 1
        self._max_tokens = _limit(model.config, tokenizer, self._steps, version)

    def predict(self, numeric: FloatArray, categorical: ObjectArray) -> FloatArray:
        """Vectors of shape (rows, dimension)."""
        texts = [self._prepared(text or "") for text in categorical[:, 0]]
        batches = [texts[start : start + self._rows] for start in range(0, len(texts), self._rows)]
        if not batches:
            return np.zeros((0, self._steps.dimension))
        return np.concatenate([self._vectors(batch) for batch in batches])

    def _prepared(self, text: str) -> str:
        prefixed = self._steps.prefix + text
        return prefixed.lower() if self._steps.lower else prefixed

    def _vectors(self, texts: list[str]) -> FloatArray:
        torch = self._torch
        tokens = self._tokenizer(
            texts, return_tensors="pt", padding=self._rows > 1, truncation=True, max_length=self._max_tokens
        )
        with torch.inference_mode():
            states = self._model(**tokens).last_hidden_state.float()
            masks = tokens.attention_mask.bool()
            vectors = torch.stack([self._pooled(row[mask]) for row, mask in zip(states, masks, strict=True)])
            for weights, activation in self._layers:
                vectors = activation(weights(vectors))
            if self._steps.normalize:
                vectors = torch.nn.functional.normalize(vectors, p=2, dim=1)
        found: FloatArray = vectors.numpy().astype(np.float64)
        return found

    def _pooled(self, states: Any) -> Any:
        """One vector of the states of a text's tokens, shape (tokens, width)."""
        return self._torch.cat([self._pool(mode, states) for mode in self._steps.poolings])

    def _pool(self, mode: str, states: Any) -> Any:
        if mode == "cls":
            return states[0]
        if mode == "lasttoken":
            return states[-1]
        if mode == "max":
            return states.max(dim=0).values
        if mode == "mean":
            return states.mean(dim=0)
        if mode == "mean_sqrt_len_tokens":
            return states.sum(dim=0) / len(states) ** 0.5
        weights = self._torch.arange(1, len(states) + 1, dtype=states.dtype)[:, None]  # weightedmean
        return (states * weights).sum(dim=0) / weights.sum()


def _linear(layer: Dense, version: Version) -> Any:
    import torch
    from safetensors.torch import load_file

    file = f"{layer.path}/model.safetensors"
    tensors = load_file(version.folder / file)
    weight, bias = tensors.get("linear.weight"), tensors.get("linear.bias")
    if weight is None or weight.shape[0] != layer.out_features:
        raise Inadmissible(file, f"lacks linear.weight with {layer.out_features} rows, which its config.json names")
    linear = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    linear.load_state_dict({name.removeprefix("linear."): tensor.float() for name, tensor in tensors.items()})
    return linear.eval()


def _limit(config: Any, tokenizer: Any, steps: Steps, version: Version) -> int:
    """Tokens of one text: the option, else the folder's own limit; never more than the model takes."""
    text = version.option("max_tokens", str(steps.max_tokens or UNLIMITED))
    if not text.isdecimal() or not int(text):
        raise Inadmissible("options.max_tokens", f"is {text!r}; write a number of tokens")
    known = getattr(config, "max_position_embeddings", None) or UNLIMITED
    limit = min(int(text), known, int(tokenizer.model_max_length))
    return limit if limit < UNLIMITED else USUAL_TOKENS

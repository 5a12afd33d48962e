"""Flavour `transformers`: a folder with config.json, safetensors and tokenizer.json that takes one text.

It classifies the text or gives it a value, answers with a text (task `text`, a causal language model), or gives it a
vector (task `embedding`). Weights are mapped from the file. Code of the folder is never run and nothing is downloaded.
Labels are `id2label` of the configuration; a configuration without names (LABEL_0, ...) takes the signature's classes
in their order. A LoRA adapter in `adapter/` is merged into the weights; a tokenizer beside it is used instead of the
tokenizer of the base. The option `model` names a GGUF file, which is a language model by itself.
"""

import json
import os
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any, Final

import numpy as np

from modelyard_contracts.lora import ADAPTER, MERGE, LoraConfig
from modelyard_contracts.manifest import MODEL_OPTION
from modelyard_contracts.signature import ColumnType, Task
from modelyard_flavours.errors import Inadmissible
from modelyard_flavours.foreign import gguf
from modelyard_flavours.foreign.lora import Adapter, lora_of
from modelyard_flavours.foreign.outputs import LOGITS, Outputs, class_order
from modelyard_flavours.foreign.transformers_encoder import TextEncoder, steps_of
from modelyard_flavours.foreign.transformers_generator import TextGenerator
from modelyard_flavours.predictor import FloatArray, ObjectArray
from modelyard_flavours.version import Version, imported, versions_of

NAME: Final = "transformers"
CONFIG: Final = "config.json"
TOKENIZER: Final = "tokenizer_config.json"
WHERE: Final[Mapping[str, Any]] = {"local_files_only": True, "trust_remote_code": False}
MAX_TOKENS: Final = 512
BATCH_ROWS: Final = 16
"""Texts in one forward pass: bounds the memory, and the padding of short texts beside long ones.
One text if model and tokenizer do not have the same padding token, as with many language models."""
OPTIONS: Final[Mapping[str, str]] = {
    MODEL_OPTION: "the GGUF file of a language model; without it, the folder has config.json and safetensors",
    "max_tokens": f"texts are cut after this many tokens; {MAX_TOKENS} by default, and never more than the model takes",
    "pooling": "of an embedding: how the vectors of the tokens become one, such as mean, cls or lasttoken; by default "
    "as the folder says, else mean",
    "normalize": "of an embedding: true for vectors of the length 1; by default as the folder says, else false",
}
POOLER: Final = "pooler."
"""Weights of a layer that an embedding does not use; many folders lack them."""


class TextClassifier:
    """A loaded model with its tokenizer, in inference mode and with one thread."""

    def __init__(self, model: Any, tokenizer: Any, version: Version) -> None:
        import torch

        self._torch, self._model, self._tokenizer = torch, model, tokenizer
        self.classes, self.shape = version.signature.classes, (0, 1)
        self._outputs = Outputs(version.signature, LOGITS)
        self._order = _label_order(model.config, version)
        padding = tokenizer.pad_token_id
        self._rows = BATCH_ROWS if padding is not None and padding == model.config.pad_token_id else 1
        self._max_tokens = _limit(model.config, tokenizer, version)

    def predict(self, numeric: FloatArray, categorical: ObjectArray) -> FloatArray:
        texts = ["" if text is None else text for text in categorical[:, 0]]
        batches = [texts[start : start + self._rows] for start in range(0, len(texts), self._rows)]
        if not batches:
            return self._outputs.empty()
        return self._outputs.of(np.concatenate([self._logits(batch) for batch in batches]))

    def _logits(self, texts: list[str]) -> FloatArray:
        tokens = self._tokenizer(
            texts, return_tensors="pt", padding=self._rows > 1, truncation=True, max_length=self._max_tokens
        )
        with self._torch.inference_mode():
            logits: FloatArray = self._model(**tokens).logits.float().numpy().astype(np.float64)
        return logits if self._order is None else logits[:, self._order]


def check(version: Version) -> None:
    """Inadmissible unless the files and the signature are those of a model that takes one text."""
    version.require_options(OPTIONS)
    if [column.type for column in version.signature.columns] != [ColumnType.TEXT]:
        raise Inadmissible("signature", "has other columns than one text, which is what the model takes")
    if gguf.gguf_of(version) is None:
        _check_folder(version)


def _check_folder(version: Version) -> None:
    version.require(CONFIG)
    if not any(path.endswith(".safetensors") and not path.startswith(f"{ADAPTER}/") for path in version.paths):
        raise Inadmissible("model.safetensors", "is missing; save the weights with safe_serialization=True")
    lora = lora_of(version)
    if lora is not None and _quantised(version):
        raise Inadmissible(
            CONFIG,
            "has a quantization_config: an adapter is not added to quantised weights; register the unquantised base, "
            f"or {MERGE}",
        )
    if version.signature.task is not Task.EMBEDDING:
        return
    if lora is not None:
        raise Inadmissible(ADAPTER, f"an adapter of an encoder that embeds is not supported; {MERGE}")
    steps_of(version)


def _quantised(version: Version) -> bool:
    with suppress(ValueError, RecursionError):
        config = json.loads((version.folder / CONFIG).read_bytes())
        return isinstance(config, dict) and bool(config.get("quantization_config"))
    return False


def load(version: Version) -> TextClassifier | TextEncoder:
    """Build the predictor of a version that classifies a text, or gives it a value or a vector."""
    if version.signature.task is Task.EMBEDDING:
        return TextEncoder(*_opened(version, "AutoModel", "float32"), version)
    model, tokenizer = _opened(version, "AutoModelForSequenceClassification", "float32")
    return TextClassifier(model, tokenizer, version)


def load_generator(version: Version) -> TextGenerator:
    """Build the generator of a version that answers with a text. Weights of a folder keep the type of their file."""
    model, tokenizer = _opened(version, "AutoModelForCausalLM", "auto")
    return TextGenerator(model, tokenizer)


def _opened(version: Version, architecture: str, dtype: str) -> tuple[Any, Any]:
    """Model and tokenizer. architecture: class of the transformers library that loads the weights."""
    check(version)
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    library = imported(NAME, "transformers")
    imported(NAME, "torch").set_num_threads(1)
    loader, lora, file = getattr(library, architecture), lora_of(version), gguf.gguf_of(version)
    if lora is not None:
        return _adapted(library, loader, dtype, version, lora)
    more = gguf.loading(NAME, file) if file else {}
    model, missing = _weights(loader, version, gguf.DTYPE if file else dtype, **more)
    _require_none({name for name in missing if architecture != "AutoModel" or not name.startswith(POOLER)}, model)
    return model.eval(), library.AutoTokenizer.from_pretrained(version.folder, **WHERE, **more)


def _adapted(library: Any, loader: Any, dtype: str, version: Version, lora: LoraConfig) -> tuple[Any, Any]:
    """Model and tokenizer of a version with an adapter, which may bring a head along for other classes."""
    adapter = Adapter.opened(version, lora)
    outputs = {} if version.signature.task is Task.TEXT else {"num_labels": max(len(version.signature.classes), 1)}
    model, missing = _weights(loader, version, dtype, ignore_mismatched_sizes=True, **outputs)
    _require_none(missing - adapter.replaced.keys(), model)
    adapter.merge_into(model)
    if adapter.replaced and outputs and set(model.config.id2label.values()) != set(version.signature.classes):
        model.config.id2label = {place: f"LABEL_{place}" for place in range(model.config.num_labels)}  # another head
    return model.eval(), _adapted_tokenizer(library, version, model)


def _adapted_tokenizer(library: Any, version: Version, model: Any) -> Any:
    """The tokenizer beside the adapter, which may have another chat template; else that of the base."""
    own = version.folder / ADAPTER
    if not (own / TOKENIZER).is_file():
        return library.AutoTokenizer.from_pretrained(version.folder, **WHERE)
    tokenizer = library.AutoTokenizer.from_pretrained(own, config=model.config, **WHERE)
    known = model.get_input_embeddings().num_embeddings
    if len(tokenizer) > known:
        raise Inadmissible(
            f"{ADAPTER}/{TOKENIZER}", f"has {len(tokenizer)} tokens, but the base knows {known}; {MERGE}"
        )
    return tokenizer


def _weights(loader: Any, version: Version, dtype: str, **more: Any) -> tuple[Any, set[str]]:
    """The model, and the names of its weights that the files lack or have in another shape."""
    model, found = loader.from_pretrained(
        version.folder, use_safetensors=True, dtype=dtype, output_loading_info=True, **WHERE, **more
    )
    return model, {*found["missing_keys"], *(name for name, *_ in found["mismatched_keys"])}


def _require_none(missing: Collection[str], model: Any) -> None:
    """Inadmissible if weights are missing: the library fills them with random numbers."""
    if missing:
        name = min(missing)
        raise Inadmissible(CONFIG, f"the weights lack {name}, which {type(model).__name__} needs for this task")


def _label_order(config: Any, version: Version) -> Any:
    """Places of the model's outputs in the order of the classes; None if equal. Inadmissible if they do not fit."""
    labels = [config.id2label[place] for place in range(config.num_labels)]
    if config.problem_type == "multi_label_classification":
        raise Inadmissible(CONFIG, "gives several labels at once, which no task of a signature has")
    if version.signature.task is Task.REGRESSION:
        if len(labels) != 1:
            raise Inadmissible(CONFIG, f"has {len(labels)} outputs; a regression has one")
        return None
    unnamed = labels == [f"LABEL_{place}" for place in range(len(labels))]
    return class_order(list(version.signature.classes[: len(labels)]) if unnamed else labels, version.signature, CONFIG)


def _limit(config: Any, tokenizer: Any, version: Version) -> int:
    """Tokens of one text: the option, or what the model and its tokenizer take if that is less."""
    text = version.option("max_tokens", str(MAX_TOKENS))
    if not text.isdecimal() or not int(text):
        raise Inadmissible("options.max_tokens", f"is {text!r}; write a number of tokens")
    return int(min(int(text), getattr(config, "max_position_embeddings", MAX_TOKENS), tokenizer.model_max_length))


def environment() -> dict[str, str]:
    """Versions of the packages that loading needs."""
    return versions_of("numpy", "torch", "transformers", "tokenizers", "safetensors")

"""How an encoder's folder makes one vector of a text: the steps that sentence-transformers saves beside the model.

Read where a model is registered and by the flavour that loads it, so that both refuse the same ones.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

MODULES: Final = "modules.json"
CONFIG: Final = "config.json"
POOLINGS: Final = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")
"""In the order in which several of them are put beside one another."""
_FLAGS: Final = {"cls": "cls_token", "max": "max_tokens", "mean": "mean_tokens", "weightedmean": "weightedmean_tokens"}
ACTIVATIONS: Final = ("Identity", "Tanh", "ReLU", "GELU", "Sigmoid")
_WIDTHS: Final = ("hidden_size", "d_model", "dim", "n_embd")
"""Names of the width in configurations of the transformers library."""
_LIMITS: Final = ("sentence_bert_config.json", "sentence_roberta_config.json", "sentence_xlnet_config.json")
REMEDY: Final = "register the folder with a predict.py instead, or save the model without that step"

Reader = Callable[[str], bytes | None]
"""Bytes of a file of the model by its path; None without the file."""


class UnusableSteps(ValueError):
    """Steps that cannot be followed; the text names the file, the field and the remedy."""


@dataclass(frozen=True)
class Dense:
    """A linear layer after the pooling; its weights are in `<path>/model.safetensors`."""

    path: str
    out_features: int
    activation: str


@dataclass(frozen=True)
class Steps:
    """From the vectors of the tokens to the vector of the text."""

    dimension: int
    poolings: tuple[str, ...] = ("mean",)
    dense: tuple[Dense, ...] = ()
    normalize: bool = False
    prefix: str = ""
    """Put before every text, as sentence-transformers does with its default prompt."""
    max_tokens: int | None = None
    lower: bool = False
    """Texts are written in lower case first."""
    evidence: str = field(default="", compare=False)


def embeds(read: Reader) -> bool:
    """Whether a folder was saved by sentence-transformers."""
    return read(MODULES) is not None


def read_steps(read: Reader, options: Mapping[str, str] | None = None) -> Steps:
    """Return the steps of a folder; UnusableSteps if one of them is not known.

    options: `pooling` and `normalize`, which win over the files. Without files, the mean of the tokens is the vector.
    """
    found = _saved(read) if embeds(read) else Steps(_width(read), evidence="the mean of the tokens")
    return _with(found, options or {})


def _with(steps: Steps, options: Mapping[str, str]) -> Steps:
    pooling, normalize = options.get("pooling"), options.get("normalize")
    if pooling is not None and pooling not in POOLINGS:
        raise UnusableSteps(f"option pooling: is {pooling!r}; use one of {', '.join(POOLINGS)}")
    if pooling is not None and steps.dense:
        raise UnusableSteps("option pooling: the folder has a layer after its own pooling; leave the option out")
    if normalize not in (None, "true", "false"):
        raise UnusableSteps(f"option normalize: is {normalize!r}; use true or false")
    one = steps.dimension // len(steps.poolings)
    return Steps(
        dimension=one if pooling else steps.dimension,
        poolings=(pooling,) if pooling else steps.poolings,
        dense=steps.dense,
        normalize=steps.normalize if normalize is None else normalize == "true",
        prefix=steps.prefix,
        max_tokens=steps.max_tokens,
        lower=steps.lower,
        evidence=steps.evidence,
    )


def _saved(read: Reader) -> Steps:
    modules = _json(read, MODULES)
    if not isinstance(modules, list) or not modules:
        raise UnusableSteps(f"{MODULES}: lists no modules; save the model with sentence-transformers")
    kinds = [_kind(module) for module in modules]
    if kinds[0] != "Transformer" or _path(modules[0]):
        place = f"{kinds[0]} in {_path(modules[0])!r}"
        raise UnusableSteps(f"{MODULES}: begins with {place}, not with a Transformer in the folder itself; {REMEDY}")
    poolings: tuple[str, ...] = ("mean",)
    dense: list[Dense] = []
    dimension, normalize, prompted = _width(read), False, True
    for kind, module in zip(kinds[1:], modules[1:], strict=True):
        path = _path(module)
        if kind == "Pooling" and not dense and not normalize:
            config = _json(read, f"{path}/{CONFIG}")
            poolings, prompted = _poolings(config, path), bool(config.get("include_prompt", True))
            dimension = len(poolings) * _width(read)
        elif kind == "Dense" and not normalize:
            dense.append(_dense(_json(read, f"{path}/{CONFIG}"), path))
            dimension = dense[-1].out_features
        elif kind == "Normalize":
            normalize = True
        elif kind != "Dropout":
            raise UnusableSteps(f"{MODULES}: the step {kind} is not supported at its place; {REMEDY}")
    prefix = _prefix(read)
    if prefix and not prompted:
        raise UnusableSteps(f"{MODULES}: pooling without the default prompt is not supported; {REMEDY}")
    limit: dict[str, Any] = next((found for name in _LIMITS if (found := _json(read, name))), {})
    return Steps(
        dimension, poolings, tuple(dense), normalize, prefix, limit.get("max_seq_length"),
        bool(limit.get("do_lower_case")), evidence=MODULES,
    )  # fmt: skip


def _kind(module: Any) -> str:
    return str(module.get("type", "")).rpartition(".")[2] if isinstance(module, dict) else ""


def _path(module: Mapping[str, Any]) -> str:
    return str(module.get("path", "")).strip("/")


def _poolings(config: Mapping[str, Any], path: str) -> tuple[str, ...]:
    """Of a name, a list of names, or a flag per name, as older releases write them."""
    named = config.get("pooling_mode")
    if named is None:
        flags = {mode: f"pooling_mode_{_FLAGS.get(mode, mode)}" for mode in POOLINGS}
        named = [mode for mode, flag in flags.items() if config.get(flag)] or ["mean"]
    modes = tuple([named] if isinstance(named, str) else named)
    if unknown := [mode for mode in modes if mode not in POOLINGS]:
        known = ", ".join(POOLINGS)
        raise UnusableSteps(f"{path}/{CONFIG}: pooling_mode: {unknown[0]!r} is not one of {known}; {REMEDY}")
    return modes


def _dense(config: Mapping[str, Any], path: str) -> Dense:
    activation = str(config.get("activation_function", "torch.nn.modules.activation.Tanh"))
    name = activation.rpartition(".")[2]
    ours = activation.startswith("torch.nn.") and name in ACTIVATIONS
    if (
        not ours
        or config.get("use_residual")
        or config.get("module_input_name", "sentence_embedding")
        != (config.get("module_output_name") or "sentence_embedding")
    ):
        raise UnusableSteps(f"{path}/{CONFIG}: a layer with {activation} is not supported; {REMEDY}")
    width = config.get("out_features")
    if not isinstance(width, int) or width < 1:
        raise UnusableSteps(f"{path}/{CONFIG}: out_features is missing; save the model with sentence-transformers")
    return Dense(path, width, name)


def _prefix(read: Reader) -> str:
    config = _json(read, "config_sentence_transformers.json")
    prompts = config.get("prompts") or {}
    return str(prompts.get(config.get("default_prompt_name"), "")) if isinstance(prompts, dict) else ""


def _width(read: Reader) -> int:
    config = _json(read, CONFIG)
    found = next((config[name] for name in _WIDTHS if isinstance(config.get(name), int)), None)
    if found is None:
        raise UnusableSteps(f"{CONFIG}: names no width of its vectors ({', '.join(_WIDTHS)}); {REMEDY}")
    return int(found)


def _json(read: Reader, path: str) -> Any:
    """Content of a file; an empty object without it."""
    data = read(path)
    try:
        found = {} if data is None else json.loads(data)
    except (ValueError, RecursionError) as error:
        raise UnusableSteps(f"{path}: is no JSON ({error}); save the model with sentence-transformers") from error
    if not isinstance(found, dict | list) or (isinstance(found, list) and path != MODULES):
        raise UnusableSteps(f"{path}: is no JSON object; save the model with sentence-transformers")
    return found

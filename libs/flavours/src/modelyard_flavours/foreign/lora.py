"""LoRA adapters of a version, merged into its model at the load: W + scaling * B @ A for each module.

Hu et al., LoRA: Low-rank adaptation of large language models, 2021 (arXiv 2106.09685). Tensors have the names of the
PEFT library; those of `modules_to_save` replace weights of the model. Every tensor must be used.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

from modelyard_contracts.lora import (
    ADAPTER,
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    MERGE,
    LoraConfig,
    UnusableAdapter,
    read_lora,
)
from modelyard_flavours.errors import Inadmissible
from modelyard_flavours.version import Version

CONFIG_PATH: Final = f"{ADAPTER}/{ADAPTER_CONFIG}"
WEIGHTS_PATH: Final = f"{ADAPTER}/{ADAPTER_WEIGHTS}"
PREFIX: Final = "base_model.model."
PAIRS: Final = ((".lora_A.weight", ".lora_B.weight"), (".lora_embedding_A", ".lora_embedding_B"))
"""Endings of the two tensors of a module: those of a linear layer and those of an embedding."""
OTHER_BASE: Final = "give the base that it was trained on"


def lora_of(version: Version) -> LoraConfig | None:
    """The configuration of the adapter, None if the version has none. Inadmissible if it cannot be merged."""
    if CONFIG_PATH not in version.paths:
        return None
    if WEIGHTS_PATH not in version.paths:
        raise Inadmissible(WEIGHTS_PATH, "is missing; save the adapter with safe_serialization=True")
    try:
        return read_lora(version.require(CONFIG_PATH).read_bytes())
    except UnusableAdapter as error:
        raise Inadmissible(CONFIG_PATH, str(error)) from error


@dataclass
class Adapter:
    """An adapter in memory."""

    config: LoraConfig
    replaced: dict[str, Any] = field(default_factory=dict)
    """Weights that it brings along, by their names in the model."""
    pairs: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    """Module to A, of the shape (rank, inputs), and B, of the shape (outputs, rank)."""

    @classmethod
    def opened(cls, version: Version, config: LoraConfig) -> Self:
        """Read the tensors; Inadmissible if the file is not readable or is not one of the PEFT library."""
        found, adapter = _tensors(version), cls(config)
        for first, second in PAIRS:
            for module in sorted(name.removesuffix(first) for name in found if name.endswith(first)):
                if module + second not in found:
                    raise Inadmissible(WEIGHTS_PATH, f"lacks {PREFIX}{module}{second}; save the adapter once more")
                adapter.pairs[module] = found.pop(module + first), found.pop(module + second)
        adapter.replaced = {name.replace(".base_layer.", "."): tensor for name, tensor in found.items()}
        return adapter

    def merge_into(self, model: Any) -> None:
        """Change the weights of the model; Inadmissible names a tensor that does not fit.

        A weight that two modules share is changed in the named one only: that is how adapters are trained.
        """
        for name, tensor in sorted(self.replaced.items()):
            module, _, leaf = name.rpartition(".")
            layer = _module(model, module)
            if layer._parameters.get(leaf) is None:
                raise Inadmissible(WEIGHTS_PATH, f"has {PREFIX}{name}, which the base lacks; {OTHER_BASE}")
            _put(layer, leaf, tensor, name)
        for module in sorted(self.pairs):
            self._merge(module, _module(model, module))

    def _merge(self, module: str, layer: Any) -> None:
        transposed = _is_transposed(layer, module)
        low, high = (tensor.float() for tensor in self.pairs[module])
        rank = self.config.rank(module)
        if {low.shape[0], high.shape[-1]} != {rank}:
            raise Inadmissible(WEIGHTS_PATH, f"{module} has the rank {low.shape[0]}; {ADAPTER_CONFIG} has {rank}")
        change = self.config.scaling(module) * (high @ low)
        _put(layer, "weight", change.T if transposed else change, module, onto=layer.weight.float())


def _tensors(version: Version) -> dict[str, Any]:
    """Tensors by name, without the prefix."""
    from safetensors.torch import load_file

    try:
        found: Mapping[str, Any] = load_file(version.require(WEIGHTS_PATH))
    except Exception as error:  # its error type is the Rust library's own
        raise Inadmissible(WEIGHTS_PATH, f"is not a readable safetensors file ({error})") from error
    if strange := sorted(name for name in found if not name.startswith(PREFIX)):
        raise Inadmissible(WEIGHTS_PATH, f"has {strange[0]}, which is no name of the PEFT library; {MERGE}")
    return {name.removeprefix(PREFIX): tensor for name, tensor in found.items()}


def _module(model: Any, name: str) -> Any:
    try:
        return model.get_submodule(name)
    except AttributeError as error:
        raise Inadmissible(WEIGHTS_PATH, f"changes {name}, which the base lacks; {OTHER_BASE}") from error


def _is_transposed(layer: Any, module: str) -> bool:
    """Whether its weight has the shape (inputs, outputs); Inadmissible if it is no layer that can be merged."""
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    if not isinstance(layer, nn.Linear | nn.Embedding | Conv1D) or not layer.weight.is_floating_point():
        kind = type(layer).__name__
        raise Inadmissible(WEIGHTS_PATH, f"changes {module}, a {kind}, which is not supported; {MERGE}")
    return not isinstance(layer, nn.Linear)


def _put(layer: Any, leaf: str, tensor: Any, name: str, onto: Any = None) -> None:
    """Set a parameter to the tensor, or to the sum of both, in the type of number that it has."""
    import torch

    weight = getattr(layer, leaf)
    if tensor.shape != weight.shape:
        here, there = tuple(weight.shape), tuple(tensor.shape)
        raise Inadmissible(WEIGHTS_PATH, f"{name} has the shape {there}, in the base it has {here}; {OTHER_BASE}")
    with torch.no_grad():
        value = (tensor if onto is None else onto + tensor).to(weight.dtype)
    setattr(layer, leaf, torch.nn.Parameter(value, requires_grad=False))

"""LoRA adapters as the PEFT library saves them: where a version holds one, and which ones can be merged.

Read where an adapter is registered and by the flavour that loads it, so that both refuse the same ones.
"""

import json
import math
import re
from collections.abc import Mapping
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from modelyard_contracts.sentences import explain

ADAPTER: Final = "adapter"
"""Folder of a version with the files of its adapter; the files of the base are beside it."""
ADAPTER_CONFIG: Final = "adapter_config.json"
ADAPTER_WEIGHTS: Final = "adapter_model.safetensors"
MERGE: Final = "merge it with its base (model.merge_and_unload().save_pretrained(folder)) and register the folder"
"""Remedy for an adapter that is not supported."""
NEUTRAL_INITS: Final = (None, True, False, "gaussian", "eva", "orthogonal")
"""Values of init_lora_weights that leave the weights of the base as they are."""
CHECKED: Final = frozenset({"peft_type", "bias", "init_lora_weights"})
PLACES: Final = frozenset(
    {"target_modules", "exclude_modules", "modules_to_save", "layers_pattern", "layers_to_transform", "fan_in_fan_out"}
)
"""Fields about the modules that have an adapter, which its tensors and the base show."""
TRAINING: Final = frozenset(
    {"base_model_name_or_path", "revision", "peft_version", "inference_mode", "auto_mapping", "lora_dropout"}
    | {"megatron_core", "qalora_group_size", "loftq_config", "corda_config", "eva_config", "lora_ga_config"}
)
"""Fields without an effect on the merged weights. One that is not listed here or read is refused if it is set."""
Value = TypeVar("Value", int, float)


class UnusableAdapter(ValueError):
    """An adapter that cannot be merged; the text names the field and the remedy."""


class LoraConfig(BaseModel):
    """Ranks and scalings of an adapter (Hu et al., LoRA: Low-rank adaptation of large language models, 2021)."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    task_type: str | None = None
    r: int = Field(ge=1)
    lora_alpha: float
    use_rslora: bool = False
    """Scale by alpha / sqrt(r) (Kalajdzievski, A rank stabilization scaling factor, 2023), else by alpha / r."""
    rank_pattern: dict[str, int] | None = None
    """Patterns of module names with another rank; the first that fits counts, as for `alpha_pattern`."""
    alpha_pattern: dict[str, float] | None = None

    def rank(self, module: str) -> int:
        """Rank of a module's adapter."""
        return _first(self.rank_pattern or {}, module, self.r)

    def scaling(self, module: str) -> float:
        """Factor of B @ A."""
        rank, alpha = self.rank(module), _first(self.alpha_pattern or {}, module, self.lora_alpha)
        return alpha / (math.sqrt(rank) if self.use_rslora else rank)


def _first(patterns: Mapping[str, Value], module: str, default: Value) -> Value:
    return next((value for key, value in patterns.items() if re.match(rf"(.*\.)?({key})$", module)), default)


def read_lora(data: bytes) -> LoraConfig:
    """Read `adapter_config.json`; UnusableAdapter names the field that cannot be merged."""
    try:
        root = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise UnusableAdapter(f"is no JSON ({error}); save the adapter with save_pretrained") from error
    if not isinstance(root, dict):
        raise UnusableAdapter("is no JSON object; save the adapter with save_pretrained")
    if problem := _problem(root):
        raise UnusableAdapter(f"{problem}; {MERGE}")
    try:
        return LoraConfig.model_validate(root)
    except ValidationError as error:
        found = explain(error)
        raise UnusableAdapter(f"{found.field}: {found.problem}; save the adapter with save_pretrained") from error


def _problem(root: dict[str, Any]) -> str | None:
    """The first setting that cannot be merged, in words."""
    if root.get("peft_type") != "LORA":
        return f"peft_type: {root.get('peft_type')!r} is not supported, only LORA is"
    if root.get("bias", "none") != "none":
        return f"bias: {root['bias']!r} is not supported, only 'none' is"
    if root.get("init_lora_weights", True) not in NEUTRAL_INITS:
        return f"init_lora_weights: {root['init_lora_weights']!r} changed the weights of the base"
    known = CHECKED | PLACES | TRAINING | LoraConfig.model_fields.keys()
    found = sorted(name for name, value in root.items() if value and name not in known)
    return f"{found[0]}: is not supported" if found else None

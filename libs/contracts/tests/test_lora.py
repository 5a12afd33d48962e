"""Configurations of adapters: scalings, and settings that cannot be merged."""

import json
import math
from typing import Any

import pytest

from modelyard_contracts.lora import UnusableAdapter, read_lora

CONFIG = {"peft_type": "LORA", "r": 8, "lora_alpha": 16}


def config(**changes: Any) -> bytes:
    return json.dumps(CONFIG | changes).encode()


def test_the_scaling_is_alpha_by_rank_or_by_its_root() -> None:
    assert read_lora(config()).scaling("layers.0.q_proj") == 2
    assert read_lora(config(use_rslora=True)).scaling("layers.0.q_proj") == pytest.approx(16 / math.sqrt(8))


def test_patterns_fit_the_end_of_a_name_and_the_first_one_counts() -> None:
    found = read_lora(config(rank_pattern={"layers.1.q_proj": 2, "q_proj": 4}, alpha_pattern={r"q_.*": 4}))
    assert [found.rank(name) for name in ("model.layers.1.q_proj", "layers.2.q_proj", "xq_proj")] == [2, 4, 8]
    assert found.scaling("layers.1.q_proj") == 2


def test_settings_of_the_training_do_not_matter() -> None:
    read_lora(config(lora_dropout=0.1, megatron_core="megatron.core", init_lora_weights="gaussian", future_thing=None))


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"peft_type": "IA3"}, "peft_type: 'IA3'"),
        ({"bias": "all"}, "bias: 'all'"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights: 'pissa' changed the weights of the base"),
        ({"use_dora": True}, "use_dora: is not supported; merge it with its base"),
        ({"future_thing": {"a": 1}}, "future_thing: is not supported"),
        ({"r": 0}, "r: must be"),
        ({"lora_alpha": "much"}, "lora_alpha: must be"),
        ({"alpha_pattern": {"q": math.nan}}, "alpha_pattern"),
    ],
)
def test_what_cannot_be_merged_is_named(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(UnusableAdapter, match=problem):
        read_lora(config(**changes))


@pytest.mark.parametrize("data", [b"", b"[]", b"\xff", b"[" * 100_000])
def test_what_is_no_configuration_is_refused(data: bytes) -> None:
    with pytest.raises(UnusableAdapter, match="save_pretrained"):
        read_lora(data)

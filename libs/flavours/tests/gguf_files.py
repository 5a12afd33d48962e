"""GGUF files of the tests' language model, written by the gguf library as llama.cpp's converter does."""

import json
from pathlib import Path
from typing import Any

import numpy as np

HEADS = 4
KEY_VALUE_HEADS = 2
CONTROL, NORMAL = 3, 1
NAMES = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
    "input_layernorm.weight": "attn_norm.weight",
    "post_attention_layernorm.weight": "ffn_norm.weight",
    "self_attn.q_proj.weight": "attn_q.weight",
    "self_attn.k_proj.weight": "attn_k.weight",
    "self_attn.v_proj.weight": "attn_v.weight",
    "self_attn.o_proj.weight": "attn_output.weight",
    "mlp.gate_proj.weight": "ffn_gate.weight",
    "mlp.up_proj.weight": "ffn_up.weight",
    "mlp.down_proj.weight": "ffn_down.weight",
}


def write_gguf(folder: Path, to: Path, *, template: str = "", quantised: bool = False) -> Path:
    """Write the Llama in `folder` to one file. quantised: matrices as Q8_0, else as F32."""
    import gguf
    from safetensors.numpy import load_file

    config, tokenizer = (json.loads((folder / name).read_bytes()) for name in ("config.json", "tokenizer.json"))
    writer = gguf.GGUFWriter(to, "llama")
    _add_shape(writer, config)
    _add_tokenizer(writer, tokenizer["model"], template)
    for name, tensor in load_file(folder / "model.safetensors").items():
        place = name.removeprefix("model.layers.").partition(".")
        stored = NAMES[name] if name in NAMES else f"blk.{place[0]}.{NAMES[place[2]]}"
        _add_tensor(writer, stored, tensor.astype(np.float32), quantised)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return to


def _add_shape(writer: Any, config: dict[str, Any]) -> None:
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEY_VALUE_HEADS)
    writer.add_rope_dimension_count(config["hidden_size"] // HEADS)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])


def _add_tokenizer(writer: Any, model: dict[str, Any], template: str) -> None:
    tokens = sorted(model["vocab"], key=model["vocab"].__getitem__)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([CONTROL if token == "</s>" else NORMAL for token in tokens])
    writer.add_token_merges([" ".join(merge) for merge in model["merges"]])
    writer.add_eos_token_id(0)
    if template:
        writer.add_chat_template(template)


def _add_tensor(writer: Any, name: str, tensor: np.ndarray, quantised: bool) -> None:
    import gguf

    if name.endswith(("attn_q.weight", "attn_k.weight")):
        tensor = _interleaved(tensor, HEADS if "attn_q" in name else KEY_VALUE_HEADS)
    kind = gguf.GGMLQuantizationType.Q8_0 if quantised and tensor.ndim == 2 else gguf.GGMLQuantizationType.F32
    writer.add_tensor(name, gguf.quants.quantize(tensor, kind), raw_dtype=kind)


def _interleaved(tensor: np.ndarray, heads: int) -> np.ndarray:
    """Rows of a projection in the order of llama.cpp, which rotates neighbours instead of halves."""
    rows, columns = tensor.shape
    return tensor.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)

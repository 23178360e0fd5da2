"""A GGUF file for llama.cpp, written by its own library, gguf.

Names and shapes are those of llama.cpp's convert_hf_to_gguf.py for GPT2LMHeadModel:
matrices as (outputs, inputs), vectors and norms as they are.
"""

import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from gpt2_flax.backend import require_results
from gpt2_flax.errors import InputError
from gpt2_flax.files import read_object
from gpt2_flax.loading import GPT2
from gpt2_flax.model import GPT2Config
from gpt2_flax.weights import matrix_shape, theirs
from jax_npu.files import write_atomically

ARCHITECTURE = "gpt2"
BLOCK = {  # our file's name after h.N. to GGUF's after blk.N.
    "ln_1": "attn_norm",
    "attn.c_attn": "attn_qkv",
    "attn.c_proj": "attn_output",
    "ln_2": "ffn_norm",
    "mlp.c_fc": "ffn_up",
    "mlp.c_proj": "ffn_down",
}
WHOLE = {
    "wte": "token_embd",
    "wpe": "position_embd",
    "ln_f": "output_norm",
    "lm_head": "output",
}
# What llama.cpp's GPT-2 computes; it knows no keys for anything else.
COMPUTED = {
    "activation_function": (
        *("gelu_new", "gelu_pytorch_tanh", "gelu_python_tanh"),
        *("gelu_fast", "gelu_accurate"),
    ),
    "scale_attention": (True,),
    "scale_by_layer": (False,),
}


def save_gguf(model: GPT2, to: Path) -> None:
    """Writes the model, in float32, and its tokenizer.

    Raises:
      InputError: llama.cpp's GPT-2 does not compute this model, or has no such
        tokenizer; or gguf is not installed.
    """
    if find_spec("gguf") is None:
        raise InputError(
            "a GGUF file is written by the library gguf: pip install 'jax-npu[gguf]'."
        )
    import gguf

    require_results("an export")
    check_config(model.config)
    tokenizer = read_tokenizer(model)

    def write(path: Path) -> None:
        writer: Any = gguf.GGUFWriter(path, ARCHITECTURE)
        add_config(writer, model.config)
        add_tokenizer(writer, tokenizer, model)
        for array_path, array in jax.tree.leaves_with_path(model.params):
            writer.add_tensor(*gguf_tensor(theirs(array_path), np.asarray(array)))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()

    write_atomically(to, write)


def check_config(config: GPT2Config) -> None:
    for name, computed in COMPUTED.items():
        if (value := getattr(config, name)) not in computed:
            raise InputError(
                f"llama.cpp's GPT-2 has {name} = {computed[0]} only, and this model "
                f"has {value}; export a Hugging Face folder instead (--format hf)."
            )


def read_tokenizer(model: GPT2) -> dict[str, Any]:
    """The tokenizer.json that the tokenizer saves, if it is byte-level BPE."""
    with tempfile.TemporaryDirectory() as folder:
        model.tokenizer.save(Path(folder))
        path = Path(folder) / "tokenizer.json"
        content = read_object(path) if path.is_file() else {}
    kind = content.get("model") or {}
    splitter = (content.get("pre_tokenizer") or {}).get("type")
    if kind.get("type") != "BPE" or splitter != "ByteLevel" or not kind.get("merges"):
        raise InputError(
            f"a GGUF file of GPT-2 needs byte-pair encoding as GPT-2 has it, and this "
            f"model has {model.tokenizer.name}; export a Hugging Face folder instead "
            "(--format hf)."
        )
    return content


def add_config(writer: Any, config: GPT2Config) -> None:
    writer.add_block_count(config.num_layers)
    writer.add_context_length(config.num_positions)
    writer.add_embedding_length(config.embed_dim)
    writer.add_feed_forward_length(config.mlp_dim)
    writer.add_head_count(config.num_heads)
    writer.add_layer_norm_eps(config.norm_eps)
    writer.add_vocab_size(config.vocab_size)
    writer.add_file_type(0)  # all float32


def add_tokenizer(writer: Any, content: dict[str, Any], model: GPT2) -> None:
    """The tokens by id, their kinds, and the merges in order."""
    from gguf import TokenType

    added = {token["content"]: token["id"] for token in content["added_tokens"]}
    vocabulary = content["model"]["vocab"] | added
    tokens = [f"[UNUSED{i}]" for i in range(model.config.vocab_size)]
    kinds = [int(TokenType.UNUSED)] * len(tokens)  # of a padded vocabulary
    for token, i in vocabulary.items():
        tokens[i] = token
        kinds[i] = int(TokenType.CONTROL if token in added else TokenType.NORMAL)
    merges = content["model"]["merges"]
    writer.add_tokenizer_model(ARCHITECTURE)
    writer.add_tokenizer_pre("gpt-2")  # how llama.cpp calls its splitting of words
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in merges])
    if (end := model.tokenizer.end_of_text) is not None:
        writer.add_bos_token_id(end)
        writer.add_eos_token_id(end)
    writer.add_add_bos_token(False)


def gguf_tensor(name: str, array: NDArray[Any]) -> tuple[str, NDArray[np.float32]]:
    """Name and values in GGUF of the tensor that has `name` in a Hugging Face file."""
    module, leaf = name.rsplit(".", 1)
    matrix = array.reshape(matrix_shape(array.shape)).astype(np.float32)
    if module.startswith("h."):
        _, layer, inner = module.split(".", 2)
        if matrix.ndim == 2:  # our (inputs, outputs); embeddings are rows already
            matrix = np.ascontiguousarray(matrix.T)
        return f"blk.{layer}.{BLOCK[inner]}.{leaf}", matrix
    return f"{WHOLE[module]}.{leaf}", matrix

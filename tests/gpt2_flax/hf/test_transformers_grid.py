"""A grid of Hugging Face folders: we compute what transformers does, or refuse.

A folder must be refused where transformers raises, fills in random weights or leaves a
tensor out, and where a variant says that it is refused on purpose; nowhere else.
"""

import functools
import re

import jax
import numpy as np
import pytest

import jax_npu
from gpt2_flax.errors import InputError
from gpt2_flax.model import logits_function
from gpt2_flax.weights import load_params, read_config

torch = pytest.importorskip("torch", reason="PyTorch is the reference")
transformers = pytest.importorskip("transformers", reason="it has the reference GPT-2")

from .config_variants import configs  # noqa: E402, needs torch
from .folder_variants import write_folder  # noqa: E402
from .tensor_variants import files  # noqa: E402

CONFIGS, FILES = configs(), files()
# Keys that change what the tensors should be, with files of other tensors.
CROSSED_CONFIGS = [
    "n_layer=1",
    "n_layer=3",
    "num_attention_heads alone",
    "tie_word_embeddings=false",
    'architectures=["GPT2Model"]',
]
CROSSED_FILES = [
    name for name in FILES if re.match("head|mask|made|without|shards", name)
]
GRID = dict.fromkeys(
    [(config, "plain") for config in CONFIGS]
    + [("plain", file) for file in FILES]
    + [(config, file) for config in CROSSED_CONFIGS for file in CROSSED_FILES]
)
# Both sides compute in f32, in another order.
F32_ERROR = 1e-4
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
TOKENS = np.random.default_rng(0).integers(0, 30, (2, 8))


@pytest.fixture(autouse=True)
def one_thread():
    """One thread for torch: several are three times as slow for a tiny model."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@functools.cache
def compiled_logits(config):
    return jax.jit(logits_function(config, jax_npu.dot_general))


def our_logits(folder):
    with jax_npu.backend("xla"):
        config = read_config(folder)
        return np.asarray(compiled_logits(config)(load_params(folder, config), TOKENS))


def reference_logits(folder):
    """transformers' logits; None where it does not use all that the folder says."""
    try:
        model, info = transformers.GPT2LMHeadModel.from_pretrained(
            folder, dtype=torch.float32, return_dict=True, output_loading_info=True
        )
        with torch.no_grad():
            logits = model.eval()(torch.from_numpy(TOKENS))[0].numpy()
    except Exception:  # strict dataclasses, torch, safetensors: each raises its own
        return None
    info["unexpected_keys"] = [
        name
        for name in info["unexpected_keys"]
        if not name.endswith("attn.masked_bias")
    ]
    return None if any(info.values()) or not np.isfinite(logits).all() else logits


@pytest.mark.parametrize(("config", "file"), GRID)
def test_a_folder_means_what_transformers_makes_of_it(tmp_path, config, file):
    folder = tmp_path / "folder"
    write_folder(folder, CONFIGS[config].change, FILES[file].change)
    on_purpose = [v.refused for v in (CONFIGS[config], FILES[file]) if v.refused]
    expected = reference_logits(folder)
    if on_purpose or expected is None:
        with pytest.raises(InputError) as refusal:
            our_logits(folder)
        message = str(refusal.value)
        assert re.fullmatch(f".*{folder}.*", message)  # one line
        assert expected is None or re.search("|".join(on_purpose), message)
    else:
        np.testing.assert_allclose(our_logits(folder), expected, F32_ERROR, F32_ERROR)

"""AdamW as optax has it, whose update of an array is one pass over memory."""

from importlib.util import find_spec as _find_spec

if _find_spec("optax") is None:
    raise ImportError(
        "jax_npu.adamw needs optax, which is not installed; "
        "pip install 'jax-npu[optimizer]'"
    )

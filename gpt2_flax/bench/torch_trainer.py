"""The contender in PyTorch: the same model, optimizer and tokens on the CPU.

Under autocast it computes products in bf16, as jax-npu does: `torch-bf16`, eager, and
`torch-bf16-compiled`, whose forward and backward passes TorchInductor compiles, are the
peers to compare with.
"""

import contextlib
import os
import time
from typing import Any

import numpy as np
import torch
import transformers

BETAS = (0.9, 0.95)  # as in training/optimizer.py, whose import would load JAX here


class TorchTrainer:
    def __init__(self, name: str, model: dict[str, Any], train: dict[str, Any]):
        torch.set_num_threads(len(os.sched_getaffinity(0)))
        torch.manual_seed(train["seed"])
        self.versions = {
            "torch": str(torch.__version__),
            "transformers": transformers.__version__,
        }
        self._is_bf16 = name != "torch-f32"
        self._max_grad_norm = train["max_grad_norm"]
        self._model = make_model(model).train()
        self._optimizer = make_optimizer(self._model, train)
        is_compiled = name == "torch-bf16-compiled"
        self._loss = torch.compile(self._loss_of) if is_compiled else self._loss_of
        shape = (train["batch_size"], train["seq_len"] + 1)
        random = np.random.default_rng(train["seed"])
        tokens = random.integers(0, model["vocab_size"], shape, np.int64)  # (B, T + 1)
        self._inputs = torch.from_numpy(tokens[:, :-1].copy())  # (B, T)
        self._targets = torch.from_numpy(tokens[:, 1:].copy()).flatten()  # (B * T,)

    def step(self) -> dict[str, Any]:
        start = time.perf_counter()
        with self._autocast():
            loss = self._loss()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._model.parameters(), self._max_grad_norm)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        value = loss.item()
        seconds = time.perf_counter() - start
        return {"seconds": seconds, "loss": value, "counters": None}

    def _loss_of(self) -> Any:
        logits = self._model(self._inputs, use_cache=False).logits  # (B, T, V)
        return torch.nn.functional.cross_entropy(
            logits.flatten(0, 1),  # (B * T, V)
            self._targets,
        )

    def _autocast(self) -> contextlib.AbstractContextManager[Any]:
        if not self._is_bf16:
            return contextlib.nullcontext()
        return torch.autocast("cpu", dtype=torch.bfloat16)

    def profile(self, path: str) -> None:
        raise NotImplementedError("only custom calls of jax-npu are traced")


def make_model(model: dict[str, Any]) -> Any:
    return transformers.GPT2LMHeadModel(
        transformers.GPT2Config(
            n_layer=model["num_layers"],
            n_head=model["num_heads"],
            n_embd=model["embed_dim"],
            vocab_size=model["vocab_size"],
            n_positions=model["num_positions"],
            layer_norm_epsilon=model["norm_eps"],
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            bos_token_id=0,
            eos_token_id=0,
        )
    )


def make_optimizer(model: Any, train: dict[str, Any]) -> Any:
    """AdamW that decays matrices and embeddings only, as training/optimizer.py does."""
    parameters = list(model.parameters())
    groups = [
        {
            "params": [p for p in parameters if p.ndim >= 2],
            "weight_decay": train["weight_decay"],
        },
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=train["lr"], betas=BETAS, fused=True)

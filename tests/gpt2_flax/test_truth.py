"""One random GPT-2 against PyTorch's: logits, loss, every gradient, ten AdamW steps.

The reference is Hugging Face's GPT2LMHeadModel; our model reads the directory that it
writes.
"""

from dataclasses import replace

import jax
import numpy as np
import pytest

import jax_npu
from gpt2_flax.model import logits_function
from gpt2_flax.training.optimizer import BETAS, make_optimizer
from gpt2_flax.training.schedule import make_schedule
from gpt2_flax.training.step import State, make_train_step, token_loss
from gpt2_flax.weights import (
    load_params,
    matrix_shape,
    read_config,
    save_weights,
    theirs,
    with_prefix,
)

torch = pytest.importorskip("torch", reason="PyTorch is the reference")
transformers = pytest.importorskip("transformers", reason="it has the reference GPT-2")

STEPS = 10
LR, WARMUP_STEPS, WEIGHT_DECAY, MAX_GRAD_NORM = 1e-3, 3, 0.1, 1.0

# Both sides compute in f32, with sums in another order.
F32_ERROR = 1e-4

# bf16 has 8 significant bits, so rounding an operand errs by up to 2^-9 of it, about
# 2^-10 in the root mean square. A logit has 3 layers of 6 GEMMs and the head behind it,
# a gradient twice as many again, each with two rounded operands. The errors are
# independent and add up in squares: sqrt(2 x 19) x 2^-10 = 6e-3 and
# sqrt(2 x 57) x 2^-10 = 1e-2 of the root mean square. The bounds are twice that.
BF16_LOGITS_ERROR = 1.2e-2
BF16_GRADIENT_ERROR = 2e-2
# The loss is a mean over 51 tokens of differences of logits.
BF16_LOSS_ERROR = 2e-3
# Adam divides a gradient by its own size, so entries smaller than their error move at
# random by up to the learning rate; most entries are larger.
BF16_UPDATE_ERROR = 0.1


@pytest.fixture
def is_tied():
    return True


@pytest.fixture
def reference(config, is_tied):
    """PyTorch's model, with noise on arrays that would begin as zeros or ones."""
    torch.manual_seed(0)
    model = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(
            n_layer=config.num_layers,
            n_head=config.num_heads,
            n_embd=config.embed_dim,
            vocab_size=config.vocab_size,
            n_positions=config.num_positions,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            tie_word_embeddings=is_tied,
        )
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


@pytest.fixture
def ours(reference, tmp_path):
    reference.save_pretrained(tmp_path)
    config = read_config(tmp_path)
    logits = logits_function(config, jax_npu.dot_general)
    return config, logits, load_params(tmp_path, config)


def by_their_names(params):
    return {
        with_prefix(theirs(path)): np.asarray(x).reshape(matrix_shape(x.shape))
        for path, x in jax.tree.leaves_with_path(params)
    }


def reference_loss(model, tokens):
    tokens = torch.from_numpy(tokens)
    return model(tokens, labels=tokens).loss


def relative_error(actual, expected):
    return np.linalg.norm(actual - expected) / np.linalg.norm(expected)


@pytest.mark.parametrize("is_tied", [True, False])
def test_config_is_read_as_transformers_means_it(config, ours, is_tied):
    assert ours[0] == replace(config, tied_head=is_tied)


def test_logits(reference, ours, tokens, backend):
    _, logits, params = ours
    expected = reference(torch.from_numpy(tokens)).logits.detach().numpy()
    actual = jax.jit(logits)(params, tokens)
    if backend == "xla":
        np.testing.assert_allclose(actual, expected, atol=F32_ERROR, rtol=F32_ERROR)
    else:
        assert relative_error(actual, expected) < BF16_LOGITS_ERROR


@pytest.mark.parametrize("is_tied", [True, False])
def test_loss_and_every_gradient(reference, ours, tokens, backend):
    _, logits, params = ours
    expected_loss = reference_loss(reference, tokens)
    expected_loss.backward()
    loss, grads = jax.jit(jax.value_and_grad(token_loss), static_argnums=2)(
        params, tokens, logits
    )
    grads = by_their_names(grads)
    expected = {name: p.grad.numpy() for name, p in reference.named_parameters()}
    assert grads.keys() == expected.keys()
    error = F32_ERROR if backend == "xla" else BF16_LOSS_ERROR
    assert float(loss) == pytest.approx(expected_loss.item(), rel=error)
    error = F32_ERROR if backend == "xla" else BF16_GRADIENT_ERROR
    for name in expected:
        assert grads[name].shape == expected[name].shape
        assert relative_error(grads[name], expected[name]) < error, name


def test_ten_adamw_steps(reference, ours, tokens, backend):
    config, logits, params = ours
    rng = np.random.default_rng(1)
    batches = rng.integers(0, config.vocab_size, (STEPS, *tokens.shape))
    before = by_their_names(params)
    expected_losses = take_reference_steps(reference, batches)

    optimizer = make_optimizer(
        make_schedule(LR, WARMUP_STEPS, STEPS), WEIGHT_DECAY, MAX_GRAD_NORM
    )
    step = make_train_step(logits, optimizer)
    state, losses = State(params, optimizer.init(params)), []
    for batch in batches:
        state, loss, _ = step(state, batch)
        losses.append(float(loss))

    error = F32_ERROR if backend == "xla" else BF16_LOSS_ERROR
    np.testing.assert_allclose(losses, expected_losses, rtol=error)
    after = by_their_names(state.params)
    for name, parameter in reference.named_parameters():
        moved = after[name] - before[name]
        expected = parameter.detach().numpy() - before[name]
        if name.endswith("c_attn.bias"):
            moved, expected = without_keys(moved), without_keys(expected)
        if backend == "xla":
            np.testing.assert_allclose(moved, expected, atol=F32_ERROR, err_msg=name)
        else:
            assert relative_error(moved, expected) < BF16_UPDATE_ERROR, name


def without_keys(bias):
    """Softmax ignores the keys' bias: its gradient is rounding noise on either side."""
    queries, _, values = np.split(bias, 3)
    return np.concatenate([queries, values])


def take_reference_steps(model, batches):
    """The losses before each step; schedule, clipping and decay are written again."""
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    vectors = [p for p in model.parameters() if p.dim() < 2]
    optimizer = torch.optim.AdamW(
        [
            {"params": matrices, "weight_decay": WEIGHT_DECAY},
            {"params": vectors, "weight_decay": 0.0},
        ],
        betas=BETAS,
    )
    losses = []
    for i, batch in enumerate(batches):
        progress = (i - WARMUP_STEPS) / (STEPS - WARMUP_STEPS)
        cosine = 0.1 + 0.9 * 0.5 * (1 + np.cos(np.pi * progress))
        for group in optimizer.param_groups:
            group["lr"] = (
                LR
                * min((i + 1) / WARMUP_STEPS, 1)
                * (cosine if i >= WARMUP_STEPS else 1)
            )
        optimizer.zero_grad()
        loss = reference_loss(model, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_GRAD_NORM)
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("is_tied", [True, False])
def test_exported_directory_opens_in_transformers(reference, ours, tokens, tmp_path):
    config, _, params = ours
    save_weights(tmp_path / "exported", config, params)
    again = transformers.GPT2LMHeadModel.from_pretrained(tmp_path / "exported")
    again.eval()
    with torch.no_grad():
        tokens = torch.from_numpy(tokens)
        assert torch.equal(again(tokens).logits, reference(tokens).logits)


@pytest.mark.parametrize("is_tied", [True, False])
def test_pytorch_bin_gives_the_same_parameters(reference, ours, tmp_path):
    config, _, params = ours
    (tmp_path / "model.safetensors").unlink()
    torch.save(reference.state_dict(), tmp_path / "pytorch_model.bin")
    jax.tree.map(np.testing.assert_array_equal, load_params(tmp_path, config), params)

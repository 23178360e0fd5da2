"""Ways to train a random GPT-2 against PyTorch's, step by step.

transformers' GPT2LMHeadModel reads what we read; adapters are PEFT's. What the paths of
a token through two layers sum up is bounded as in test_truth.py.
"""

import copy

import jax
import numpy as np
import pytest

import jax_npu
from gpt2_flax.adapters.initial import add_adapter, is_of_adapter
from gpt2_flax.adapters.names import trained_by_name
from gpt2_flax.adapters.parameters import join_params, split_params
from gpt2_flax.adapters.peft import load_adapter, read_adapter, save_adapter
from gpt2_flax.layers import dropout as our_dropout
from gpt2_flax.model import logits_function
from gpt2_flax.weights import load_params, matrix_shape, name_of, read_config

torch = pytest.importorskip("torch", reason="PyTorch is the reference")
transformers = pytest.importorskip("transformers", reason="it has the reference GPT-2")
peft = pytest.importorskip("peft", reason="it has the reference adapters")

from .reference import (  # noqa: E402, needs torch
    masked_sums,
    our_steps,
    reference_steps,
    relative_error,
    with_noise,
)

SHAPE = {"n_layer": 2, "n_head": 2, "n_embd": 16, "vocab_size": 67, "n_positions": 12}
STEPS, BATCH, LENGTH = 4, 4, 9
TOKENS = np.random.default_rng(0).integers(0, 67, (STEPS, BATCH, LENGTH + 1))

# Both sides compute in f32, with sums in another order.
F32_ERROR = 1e-4
# test_truth.py derives these two from the roundings to bf16 of three layers, so they
# hold for two: of the loss, and of the way that all parameters together went.
BF16_LOSS_ERROR = 2e-3
BF16_UPDATE_ERROR = 0.1
# Adam may move one entry of 16 at random, whose gradient is smaller than its error.
BF16_ARRAY_ERROR = (1 / 16) ** 0.5 + BF16_UPDATE_ERROR


@pytest.fixture(
    params=[
        "xla",
        pytest.param("host", marks=pytest.mark.slow),
        pytest.param("sim", marks=pytest.mark.slow),
    ]
)
def any_backend(request):
    """The fixture `backend`, whose others than xla are slow."""
    with jax_npu.backend(request.param):
        yield request.param


def make_reference(folder, **changes):
    """A random model of transformers without dropout, saved in `folder`."""
    rates = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0)
    fields = {**SHAPE, **rates, "bos_token_id": 0, "eos_token_id": 0, **changes}
    config = transformers.GPT2Config(**fields, attn_implementation="eager")
    torch.manual_seed(0)
    model = with_noise(transformers.GPT2LMHeadModel(config))
    model.save_pretrained(folder)
    return model.train()


def load_ours(folder, **options):
    config = read_config(folder)
    logits = logits_function(config, jax_npu.dot_general, **options)
    return config, logits, load_params(folder, config)


def mean_of_all(model, tokens):
    tokens = torch.from_numpy(tokens)
    yield model(tokens, labels=tokens).loss


def assert_alike(losses, expected, after, before, reference, backend):
    """Losses and the way of each parameter are the reference's, by its own names."""
    error = F32_ERROR if backend == "xla" else BF16_LOSS_ERROR
    np.testing.assert_allclose(losses, expected, rtol=error)
    assert after.keys() == reference.keys()
    ours, others = [], []
    for name, parameter in reference.items():
        moved = after[name] - before[name]
        theirs = parameter.detach().numpy() - before[name]
        if name.endswith("c_attn.bias"):  # softmax ignores the keys' bias
            moved, theirs = (np.delete(x, np.s_[16:32]) for x in (moved, theirs))
        if backend == "xla":
            np.testing.assert_allclose(moved, theirs, atol=F32_ERROR, err_msg=name)
        else:
            assert relative_error(moved, theirs) < BF16_ARRAY_ERROR, name
        ours.append(moved.ravel())
        others.append(theirs.ravel())
    error = relative_error(np.concatenate(ours), np.concatenate(others))
    assert error < BF16_UPDATE_ERROR


def flat(params):
    return {
        name_of(tuple(k.key for k in path)): np.asarray(x).reshape(
            matrix_shape(x.shape)
        )
        for path, x in jax.tree.leaves_with_path(params)
    }


def named(model, trained=lambda name: True):
    return {
        short: p
        for name, p in model.named_parameters()
        if trained(short := name.removeprefix("transformer."))
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"n_inner": 24, "activation_function": "gelu", "tie_word_embeddings": False},
        pytest.param(
            {
                "scale_attn_weights": False,
                "scale_attn_by_inverse_layer_idx": True,
                "reorder_and_upcast_attn": True,
            },
            marks=pytest.mark.slow,
        ),
    ],
    ids=["inner-gelu-untied", "scales"],
)
def test_configurations_and_heads_train_as_in_transformers(
    tmp_path, any_backend, changes
):
    backend = any_backend
    reference = make_reference(tmp_path, **changes)
    _, logits, params = load_ours(tmp_path)
    losses, after = our_steps(logits, params, TOKENS)
    expected = reference_steps(reference, TOKENS, mean_of_all)
    assert_alike(losses, expected, flat(after), flat(params), named(reference), backend)


def mean_of_parts(model, tokens):
    """Two backward passes, each of half of the batch."""
    for part in np.split(tokens, 2):
        yield from (loss / 2 for loss in mean_of_all(model, part))


def test_parts_of_a_batch_and_recomputation_train_as_in_torch(tmp_path, any_backend):
    backend = any_backend
    reference = make_reference(tmp_path)
    reference.gradient_checkpointing_enable()
    _, logits, params = load_ours(tmp_path, remat="blocks")
    losses, after = our_steps(logits, params, TOKENS, parts=2)
    expected = reference_steps(reference, TOKENS, mean_of_parts)
    assert_alike(losses, expected, flat(after), flat(params), named(reference), backend)


MASKS = np.random.default_rng(1).random((STEPS, BATCH, LENGTH)) < 0.4
MASKS[0, 0] = False  # a row, and then half of a batch, without a target that counts
MASKS[1, :2] = False
SEGMENTS = np.sort(np.random.default_rng(2).integers(0, 3, TOKENS.shape), axis=-1)


def mean_of_masked_texts(model, batch):
    """Each text alone through the model, from position 0 on."""
    tokens, mask, segments = batch
    total = 0.0
    for row, row_mask, row_segments in zip(tokens, mask, segments):
        for segment in np.unique(row_segments[:-1]):
            (at,) = np.nonzero(row_segments[:-1] == segment)
            text = row[at[0] : at[-1] + 2][None]  # with the target of its last token
            logits = model(torch.from_numpy(text[:, :-1])).logits
            total = total + masked_sums(logits, text, row_mask[at])
    yield total / mask.sum()


def test_masked_losses_of_texts_apart_train_as_each_text_alone(tmp_path, any_backend):
    backend = any_backend
    reference = make_reference(tmp_path)
    _, logits, params = load_ours(tmp_path)
    batches = list(zip(TOKENS, MASKS, SEGMENTS))
    losses, after = our_steps(logits, params, batches, parts=2)
    expected = reference_steps(reference, batches, mean_of_masked_texts)
    assert_alike(losses, expected, flat(after), flat(params), named(reference), backend)


def test_frozen_weights_stay_and_the_others_train_as_in_torch(tmp_path, any_backend):
    backend = any_backend
    reference = make_reference(tmp_path, tie_word_embeddings=False)
    for name, parameter in reference.named_parameters():
        parameter.requires_grad = "h.1.mlp" in name or "lm_head" in name
    _, logits, params = load_ours(tmp_path)
    paths = [
        tuple(k.key for k in path) for path, _ in jax.tree.leaves_with_path(params)
    ]
    is_trained = trained_by_name(paths, (), ("h.1.mlp", "lm_head"))
    trained, frozen = split_params(params, is_trained)
    losses, after = our_steps(logits, trained, TOKENS, frozen)
    expected = reference_steps(reference, TOKENS, mean_of_all)
    parts = {n: p for n, p in named(reference).items() if p.requires_grad}
    assert_alike(losses, expected, flat(after), flat(trained), parts, backend)


def make_peft(reference, dora):
    adapted = peft.get_peft_model(
        copy.deepcopy(reference),
        peft.LoraConfig(
            r=3,
            lora_alpha=5,
            target_modules=["c_attn", "attn.c_proj", "c_fc", "mlp.c_proj"],
            use_dora=dora,
            fan_in_fan_out=True,
            task_type="CAUSAL_LM",
        ),
    )
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_" in name:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return adapted


@pytest.mark.parametrize(
    "dora", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["lora", "dora"]
)
def test_adapters_train_as_in_peft_and_go_back_to_it(tmp_path, any_backend, dora):
    backend = any_backend
    reference = make_reference(tmp_path)
    adapted = make_peft(reference, dora)
    adapted.save_pretrained(tmp_path / "adapter")
    adapter = read_adapter(tmp_path / "adapter")
    _, logits, base = load_ours(tmp_path, adapter=adapter)
    full = add_adapter(base, adapter, 0)
    params = load_adapter(tmp_path / "adapter", adapter, full)
    trained, frozen = split_params(params, is_of_adapter)
    losses, after = our_steps(logits, trained, TOKENS, frozen)
    expected = reference_steps(adapted, TOKENS, mean_of_all)

    save_adapter(tmp_path / "ours", adapter, join_params(after, frozen), None)
    before, ours = (
        peft.PeftModel.from_pretrained(copy.deepcopy(reference), tmp_path / name)
        for name in ("adapter", "ours")
    )
    before, after = (
        {n: p.detach().numpy() for n, p in model.named_parameters() if "lora_" in n}
        for model in (before, ours)
    )
    theirs = {n: p for n, p in adapted.named_parameters() if p.requires_grad}
    assert_alike(losses, expected, after, before, theirs, backend)


def test_dropout_with_the_same_masks_trains_as_in_transformers(
    tmp_path, any_backend, monkeypatch
):
    backend = any_backend
    rates = {"embd_pdrop": 0.2, "attn_pdrop": 0.3, "resid_pdrop": 0.1}
    reference = make_reference(tmp_path, **rates)
    _, logits, params = load_ours(tmp_path)
    keys = jax.random.split(jax.random.key(5), STEPS)
    masks = []
    with monkeypatch.context() as patch:
        draw = jax.random.bernoulli

        def recorded(*args):
            masks.append(torch.from_numpy(np.array(draw(*args))))
            return masks[-1].numpy()

        patch.setattr(our_dropout.jax.random, "bernoulli", recorded)
        for tokens, key in zip(TOKENS, keys):
            logits(params, tokens[:, :-1], None, key)
    assert len(masks) == STEPS * (1 + 3 * SHAPE["n_layer"])

    def dropout_of(x, p, *args, **kwargs):
        kept = masks.pop(0)
        assert kept.shape == x.shape
        return x * kept / (1 - p)

    def mean_of_inputs(model, tokens):
        out = model(torch.from_numpy(tokens[:, :-1])).logits
        yield masked_sums(out, tokens, np.ones((BATCH, LENGTH))) / (BATCH * LENGTH)

    monkeypatch.setattr(torch.nn.functional, "dropout", dropout_of)
    losses, after = our_steps(logits, params, TOKENS, keys=keys)
    expected = reference_steps(reference, TOKENS, mean_of_inputs)
    assert not masks
    assert_alike(losses, expected, flat(after), flat(params), named(reference), backend)

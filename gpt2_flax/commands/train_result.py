"""What `gpt2-flax train` prints at the end of a run."""

import shlex

import rich

from gpt2_flax.adapters.merge import merge_adapter
from gpt2_flax.errors import npu_errors
from gpt2_flax.generation.choice import Rules
from gpt2_flax.generation.generate import generate
from gpt2_flax.loading import GPT2
from gpt2_flax.training.progress import Row, describe_validation
from gpt2_flax.training.reporting.energy import TrainingEnergy, describe_energy
from gpt2_flax.training.reporting.forecast import describe_forecast
from gpt2_flax.training.start import Training
from gpt2_flax.training.step import State, all_params
from jax_npu.explanation.products import Explanation

SAMPLE_PROMPT_TOKENS = 12  # the beginning of the validation text
SAMPLE_TOKENS = 80
# In a token of GPT-2: a sample of characters takes as many more.
CHARACTERS = 4
SURE = 0.6  # temperature of a sample of characters
FEWEST_OF_BPE = 1000  # tokens of a vocabulary that is not of bytes or characters


def print_result(
    training: Training,
    state: State,
    rows: list[Row],
    entropy: float,
    energy: TrainingEnergy,
    products: Explanation,
) -> None:
    """Prints the last validation, a sample, the step's GEMMs, what a run would take on
    machines with an NPU, the energy that this one took, and the files."""
    config, out = training.config, training.out
    losses = {row["step"]: row["val_loss"] for row in rows if "val_loss" in row}
    if 0 in losses:  # runs of older versions have none
        print(f"before training: {describe_validation(losses[0])}")
    last = describe_validation(list(losses.values())[-1])
    print(f"after training:  {last}; unigram entropy of the text {entropy:.3f}\n")
    with npu_errors(f"training is done and saved in {out}, but its sample"):
        print_sample(training, state)
    rich.print(products)
    sizes = config.batch_size, config.seq_len, config.steps
    print(describe_forecast(training.model, *sizes))
    num_tokens = config.batch_size * config.seq_len  # in a step
    print(describe_energy(energy, num_tokens, products.flops))
    print(f"{out}: config.json, metrics.jsonl, loss.png, checkpoints")
    run_folder = shlex.quote(str(out))
    print(f"next: gpt2-flax sample --out {run_folder} --interactive")
    print(f"      gpt2-flax export --out {run_folder} --to FOLDER")


def print_sample(training: Training, state: State) -> None:
    config = training.config
    params = merge_adapter(all_params(state), training.parts.adapter)
    model = GPT2(training.model, params, training.tokenizer)
    scale = CHARACTERS if model.tokenizer.num_tokens < FEWEST_OF_BPE else 1
    start_of_text = training.feed.validation.stream.tokens
    start_of_text = start_of_text[: scale * SAMPLE_PROMPT_TOKENS]
    prompt = model.tokenizer.decode(start_of_text.tolist())
    num_tokens = scale * SAMPLE_TOKENS
    # A word takes several draws of characters, one of which is easily wrong.
    temperature = SURE if scale > 1 else Rules.temperature
    (text,) = generate(
        model,
        prompt,
        num_tokens=num_tokens,
        temperature=temperature,
        seed=config.seed,
    )
    print(f"Sample, from the start of the validation text:\n{prompt}|{text}\n")

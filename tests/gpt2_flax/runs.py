"""What tests read back of a run: its saved state, and the program's error line."""

import jax

from gpt2_flax import run
from gpt2_flax.model import GPT2Config, init_params
from gpt2_flax.training.optimizer import make_optimizer
from gpt2_flax.training.schedule import make_schedule


def saved_state(out):
    """Parameters and optimizer state of the newest checkpoint in `out`."""
    model = GPT2Config(**run.read_run(out)["model"])
    optimizer = make_optimizer(make_schedule(1, 1, 1), 0.1, 1.0)

    def initial_items():
        params = init_params(model, 0)
        return {"params": params, "opt_state": optimizer.init(params)}

    return run.restore_checkpoint(out, jax.eval_shape(initial_items))


def one_line(capsys):
    """The one line on stderr that the program printed itself."""
    lines = capsys.readouterr().err.splitlines()
    lines = [line for line in lines if line.startswith("gpt2-flax: ")]
    assert len(lines) == 1
    return lines[0]

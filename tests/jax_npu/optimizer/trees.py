"""Trees of parameters and gradients, and AdamW's step in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np

# Nothing, one number, odd sizes, more than a thread takes at a time, and a matrix.
SHAPES = {
    "empty": (0, 3),
    "scalar": (),
    "one": (1,),
    "odd": (37, 5),
    "block": {"bias": (100_003,), "kernel": (64, 129)},
}
MASK = {
    "empty": True,
    "scalar": False,
    "one": True,
    "odd": True,
    "block": {"bias": False, "kernel": True},
}


def random_tree(rng, scale=1.0):
    return jax.tree.map(
        lambda shape: jnp.asarray(scale * rng.standard_normal(shape), jnp.float32),
        SHAPES,
        is_leaf=lambda x: isinstance(x, tuple),
    )


def numpy_step(arrays, grad, step, *, rate, b1, b2, eps, eps_root, decay):
    """The new parameter and moments of one array, rounded to f32 at each operation."""
    f = np.float32
    param, mu, nu = arrays
    mu = f(1 - b1) * grad + f(b1) * mu
    nu = f(1 - b2) * (grad * grad) + f(b2) * nu
    mu_hat = mu / (f(1) - f(b1) ** f(step))
    nu_hat = nu / (f(1) - f(b2) ** f(step))
    update = mu_hat / (np.sqrt(nu_hat + f(eps_root)) + f(eps))
    if decay:
        update = update + f(decay) * param
    return param + f(-rate) * update, mu, nu

"""A curve fit by Gauss-Newton, whose normal equations need precision "highest".

Products are rounded to bf16 by default, to 8 bits: enough for a network, but the fit
of noisy data ends where the rounded gradient is zero, not where the true one is.
Prints how far both fits are from one in float64 by NumPy.
"""

import jax
import jax.numpy as jnp
import numpy as np

import jax_npu

TRUE = jnp.array([1.5, -0.7, 0.4, 2.0])
STEPS = 8


def curve(params, t):
    amplitude, rate, slope, frequency = params
    return amplitude * jnp.exp(rate * t) + slope * jnp.sin(frequency * t)


def fit(t, y, start):
    """Minimises the sum of squares, each step solving (J^T J) d = -J^T r."""

    def step(params, _):
        residual = curve(params, t) - y
        jacobian = jax.jacobian(curve)(params, t)
        change = jnp.linalg.solve(jacobian.T @ jacobian, jacobian.T @ residual)
        return params - change, None

    return jax.lax.scan(step, start, length=STEPS)[0]


def fit_in_float64(t, y, start):
    """The same steps, with the derivatives written out."""
    t, y = np.asarray(t, np.float64), np.asarray(y, np.float64)
    params = np.asarray(start, np.float64)
    for _ in range(STEPS):
        amplitude, rate, slope, frequency = params
        decay, sine = np.exp(rate * t), np.sin(frequency * t)
        change = slope * t * np.cos(frequency * t)
        jacobian = np.stack([decay, amplitude * t * decay, sine, change], axis=1)
        residual = amplitude * decay + slope * sine - y
        params = params - np.linalg.lstsq(jacobian, residual, rcond=None)[0]
    return params


def main():
    t = jnp.linspace(0, 3, 400)
    y = curve(TRUE, t) + 0.05 * jax.random.normal(jax.random.key(0), t.shape)
    start = TRUE + jnp.array([0.2, 0.1, -0.1, 0.15])
    exact = fit_in_float64(t, y, start)
    for precision in (None, "highest"):
        fitted = jax.jit(jax_npu.offload(fit, precision=precision))(t, y, start)
        error = np.abs(np.asarray(fitted, np.float64) - exact).max()
        print(f"precision {precision or 'default'}: largest error {error:.1e}")


if __name__ == "__main__":
    main()

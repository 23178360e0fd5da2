"""The side of a product that is being lowered, and of all products of a program.

The rule of a product sees nothing but that product. So jax is made to say which program
it is about to lower, and the first product that asks has all of them placed. A
product of another program, such as one that XLA splits over devices later, is placed as
if it were alone.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple

from jax.extend.core import Jaxpr
from jax.interpreters.partial_eval import dce_jaxpr

from jax_npu.jax_private import while_lowering
from jax_npu.lowering.call import GemmParams
from jax_npu.lowering.placement.forced import forced_side
from jax_npu.lowering.placement.program import Found, product_of, products_of
from jax_npu.lowering.settings import Settings
from jax_npu.runtime.target import DRIVERS
from xdna.placement.choice import Placement, best_placement
from xdna.placement.product import HOST, NPU, Product
from xdna.placement.timeline import timeline

if TYPE_CHECKING:
    from xdna.placement.costs import Costs

Setup = tuple[str, Settings]  # a backend, and what a product of it is lowered for


class Predicted(NamedTuple):
    """A product on either side by itself, one part after the other.

    Attributes:
      npu_seconds: with packing, flushing and unpacking; None where the product is too
        large for the array.
      padding: multiplications that the array does over those asked for.
      ddr_bytes: between the array and DDR.
    """

    npu_seconds: float | None
    host_seconds: float
    padding: float = 1.0
    ddr_bytes: int = 0


class Program:
    """The placement of a program's products, made when it is first asked for."""

    def __init__(self, jaxpr: Jaxpr | None = None) -> None:
        self._jaxpr = jaxpr
        self._placements: dict[Setup, Placement] = {}

    @functools.cached_property
    def products(self) -> list[Found]:
        if self._jaxpr is None:
            return []
        jaxpr, _ = dce_jaxpr(self._jaxpr, [True] * len(self._jaxpr.outvars))
        return products_of(jaxpr)

    def side(self, product: Product, names: str, setup: Setup) -> str:
        """NPU or HOST, for a product of a backend with an NPU.

        Raises:
          ValueError: if the objective is energy, and the machine's watts are unknown.
        """
        settings = setup[1]
        if forced := forced_side(settings.forced, product.sizes, names):
            return forced
        if settings.place != "auto":
            return settings.place
        if setup not in self._placements:
            self._placements[setup] = best_placement(
                [found.node for found in self.products],
                _costs(setup),
                settings.objective,
                self._sides_not_for_choice(settings),
            )
        side = self._placements[setup].get(product.sizes)
        return side or _costs(setup).alone(product, settings.objective)

    def predicted(self, product: Product, setup: Setup) -> Predicted | None:
        """The times of a product; None for a backend without an NPU."""
        if setup[0] not in DRIVERS:
            return None
        costs = _costs(setup)
        host = costs.host.seconds(product)
        cost = costs.npu.cost(product)
        if cost is None:
            return Predicted(None, host)
        return Predicted(cost.seconds, host, cost.padding, cost.ddr_bytes)

    def seconds(self) -> dict[str, float]:
        """Predicted for all products: as placed, and on one side.

        {} if none is of a backend with an NPU. What is too large for the array is on
        the host.
        """
        setups = {(one.backend, one.settings) for one in self.products}
        setup = next((one for one in setups if one[0] in DRIVERS), None)
        if setup is None:
            return {}
        costs, step = _costs(setup), [found.node for found in self.products]

        def total(side_of: Callable[[Found], str]) -> float:
            sides = [self._possible(side_of(one), one, costs) for one in self.products]
            return timeline(step, sides, costs).seconds

        return {
            "placed": total(self._side_of),
            NPU: total(lambda one: NPU if one.backend in DRIVERS else HOST),
            HOST: total(lambda one: HOST),
        }

    def _side_of(self, found: Found) -> str:
        if found.backend not in DRIVERS:
            return HOST
        setup = found.backend, found.settings
        return self.side(found.product, found.names, setup)

    def _possible(self, side: str, found: Found, costs: "Costs") -> str:
        return HOST if costs.npu.cost(found.product) is None else side

    def _sides_not_for_choice(self, settings: Settings) -> Placement:
        """By sizes: what the user asks for, and products of backend host."""
        sides: Placement = {}
        for found in self.products:
            sizes = found.product.sizes
            side = forced_side(settings.forced, sizes, found.names)
            if found.backend == HOST:
                side = HOST
            if side:
                sides[sizes] = side
        return sides


def _costs(setup: Setup) -> "Costs":
    # The array's program takes 25 ms to import, and only such products need it.
    from jax_npu.lowering.placement.machine_costs import costs_of

    return costs_of(*setup)


_program: ContextVar[Program | None] = ContextVar("program", default=None)


@contextlib.contextmanager
def _lowering(jaxpr: Jaxpr) -> Iterator[None]:
    token = _program.set(Program(jaxpr))
    try:
        yield
    finally:
        _program.reset(token)


def placed(params: GemmParams, lhs: Any, rhs: Any, out: Any, names: str) -> GemmParams:
    """The parameters of a product, with the backend of the side where it is placed.

    Args:
      lhs, rhs, out: abstract values.
      names: the product's name scopes.
    """
    backend, settings = params["backend"], params["settings"]
    if backend not in DRIVERS or is_settled(settings):
        return params
    product = product_of(params["spec"], params["passes"], lhs, rhs, out)
    if product is None:  # sizes are symbols, or one is 0
        side = HOST if settings.place == HOST else NPU
    else:
        program = _program.get() or Program()
        side = program.side(product, names, (backend, settings))
    return params | at_side(side, settings)  # type: ignore[return-value]


def is_settled(settings: Settings) -> bool:
    """Whether a product of an NPU's backend runs there whatever it is."""
    return settings.place == NPU and not settings.forced


def at_side(side: str, settings: Settings) -> dict[str, Any]:
    """The backend and the settings with which a placed product is lowered."""
    if side == HOST:
        on_host = Settings(
            host_isa=settings.host_isa, small_products=settings.small_products
        )
        return {"backend": HOST, "settings": on_host}
    on_npu = settings._replace(
        host_isa="", small_products="", place=NPU, objective="", forced=""
    )
    return {"settings": on_npu}


while_lowering(_lowering)

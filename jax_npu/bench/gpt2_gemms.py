"""The GEMMs of one training step of GPT-2 124M with 4 x 64 tokens, as operands lie.

Of Y = X W with W (in, out): forward reads both row by row; dX = dY Wᵀ finds k
contiguous in W, dW = Xᵀ dY (or its transpose) finds rows of k in both. The head is tied
to the embedding (V, C), with V padded to 50,304 as llm.c does.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class GemmCase:
    """(m, k) x (k, n); the orders name the dimensions of an operand as they lie."""

    name: str
    m: int
    k: int
    n: int
    lhs_order: str = "mk"
    rhs_order: str = "kn"
    calls_per_step: int = 1

    @property
    def blas(self) -> str:
        """The letters of BLAS: T where an operand lies the other way."""
        return ("N" if self.lhs_order == "mk" else "T") + (
            "N" if self.rhs_order == "kn" else "T"
        )

    @property
    def flops(self) -> int:
        return 2 * self.m * self.k * self.n


GPT2_GEMMS = (
    GemmCase("fwd qkv", 256, 768, 2304, "mk", "kn", 12),
    GemmCase("fwd attn proj", 256, 768, 768, "mk", "kn", 12),
    GemmCase("fwd fc", 256, 768, 3072, "mk", "kn", 12),
    GemmCase("fwd fc proj", 256, 3072, 768, "mk", "kn", 12),
    GemmCase("dX qkv", 256, 2304, 768, "mk", "nk", 12),
    GemmCase("dX attn proj", 256, 768, 768, "mk", "nk", 12),
    GemmCase("dX fc", 256, 3072, 768, "mk", "nk", 12),
    GemmCase("dX fc proj", 256, 768, 3072, "mk", "nk", 12),
    GemmCase("dW qkv", 2304, 256, 768, "km", "kn", 12),
    GemmCase("dW attn proj", 768, 256, 768, "km", "kn", 12),
    GemmCase("dW fc", 3072, 256, 768, "km", "kn", 12),
    GemmCase("dW fc proj", 768, 256, 3072, "km", "kn", 12),
    GemmCase("fwd lm_head", 256, 768, 50304, "mk", "nk"),
    GemmCase("dX lm_head", 256, 50304, 768, "mk", "kn"),
    GemmCase("dW lm_head", 50304, 256, 768, "km", "kn"),
)

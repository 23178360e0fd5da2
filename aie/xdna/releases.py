"""The releases of mlir-aie that designs are written for, and Peano beside each.

Two ways of writing MLIR and two command lines are in use: of mlir-aie 1.3, and of 1.4,
which users install since July 2026. With each belongs one build of Peano (the wheel
llvm-aie), which that release pins: others have miscompiled GEMMs.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Release:
    """What designs were tried with, of one syntax.

    Attributes:
      syntax: of MLIR text, by the first two numbers of the releases that have it.
      mlir_aie: version of the wheel whose tools took, placed and lowered our designs.
      peano: version of the wheel llvm-aie that it pins (mlir-aie's
        utils/peano-requirements.txt at that release).
    """

    syntax: str
    mlir_aie: str
    peano: str

    @property
    def pair(self) -> str:
        return f"mlir-aie {self.mlir_aie} with Peano {self.peano}"


RELEASES = (
    Release("1.3", "1.3.4", "21.0.0.2026062301+cb664e8c"),
    Release("1.4", "1.4.2", "21.0.0.2026080301+c9c5ecb7"),
)
SYNTAXES = tuple(release.syntax for release in RELEASES)
RECOMMENDED = RELEASES[-1]


def release_of(mlir_aie: str) -> Release | None:
    """The release whose syntax and command line a version has, or None.

    Args:
      mlir_aie: version of a wheel, or of a build from source, such as 1.4+f50bef7.
    """
    for release in RELEASES:
        if re.match(rf"{re.escape(release.syntax)}(\.|\+|$)", mlir_aie):
            return release
    return None

"""XLA's own choice of emitters, for tests of what it fuses and in which order it sums.

For the others, tests/conftest.py chooses emitters that compile in half the time.
"""

import os

FLAG = "xla_cpu_use_fusion_emitters"
AS_USERS_HAVE_THEM = {FLAG: True} if FLAG in os.environ["XLA_FLAGS"] else {}

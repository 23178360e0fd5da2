"""Where products run: what each costs on the NPU and on the host, and what pays.

`costs.py` brings both sides together, `timeline.py` tells how long a step takes with a
placement, and `choice.py` chooses one. Nothing here needs JAX.
"""

"""The forecast of a training step of GPT-2: what a machine with an NPU would take.

`step.py` has the step's products and other work, `assumptions.py` all that is not
known of a machine, each with a range and a source, and `forecast.py` the result.
"""

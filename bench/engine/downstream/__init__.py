"""Downstream tasks of trained cells: adapters to outside harnesses such as lm-eval, each run by a stage in `stages`."""

"""The starting points of `bench new method`: a masked method and its tests, checked like any other code."""

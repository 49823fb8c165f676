"""The public import path of `methods.discrete.d3pm`: plug-ins may rely on it."""

from methods.discrete.d3pm import D3pm, D3pmAbsorb, D3pmUniform, Share, Steps

__all__ = ["D3pm", "D3pmAbsorb", "D3pmUniform", "Share", "Steps"]

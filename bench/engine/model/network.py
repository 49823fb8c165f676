"""The transformer that every method uses: pre-norm, rotary positions, adaLN-zero if a method needs time.

Vaswani et al., arXiv:1706.03762; rotary positions: Su et al., arXiv:2104.09864; adaLN-zero: Peebles and Xie,
arXiv:2212.09748; the shape `small` is MDLM's (arXiv:2406.07524v2, appendix C).

Suffixes: B sequences, L positions, W width, H heads, D width of a head, C width of the condition, N packed positions.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.engine.model.attention import Attention, attention
from methods.method import Needs

Past = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]  # k, v of new positions -> k, v of all positions, [B, L, H, D]


@dataclass(frozen=True)
class Shape:
    """The sizes of a transformer, the same for every method of a suite."""

    layers: int
    width: int
    heads: int
    condition: int = 128  # width of the time embedding, if a method needs time
    mlp: Literal["gelu", "swiglu"] = "gelu"
    gates: Literal["zero", "open"] = "zero"  # at initialization, if a method needs time: closed (adaLN-zero) or open
    dropout: float = 0.0


# With open gates, a time-conditioned network starts as the same function as a time-free one. Closed gates cost much in
# short runs: MD4 on micro ended the 1,100 steps of the quickstart at 3.7 bits per character instead of 3.0.
PRESETS = {
    "micro": Shape(layers=3, width=96, heads=3, condition=32, gates="open"),
    "tiny": Shape(layers=4, width=144, heads=4, condition=48, gates="open"),
    "small": Shape(layers=12, width=768, heads=12),
    "medium": Shape(layers=24, width=1024, heads=16),
}


class Network(nn.Module):
    """Maps token ids [B, L] or vectors [B, L, D] to hidden states [B, L, W]; `head` maps packed ones to scores.

    Attention is bidirectional unless `causal`; then position i sees a learned start vector and the tokens before i, so
    that all L tokens are scored. Self-conditioned networks take a guess [B, L, D] beside the vectors.
    """

    def __init__(self, shape: Shape, vocab_size: int, needs: Needs, backend: str):
        super().__init__()
        causal, time, wide = needs.causal, needs.time, needs.vector_width
        self.shape, self.causal = shape, causal
        self.embedding: nn.Embedding | nn.Linear = (
            nn.Linear(wide, shape.width) if wide else nn.Embedding(vocab_size + needs.extra_tokens, shape.width)
        )
        self.guess = nn.Linear(wide, shape.width, bias=False) if needs.self_condition else None
        self.start = nn.Parameter(torch.empty(shape.width)) if causal else None
        self.time = TimeEmbedding(shape.condition) if time else None
        attend = attention(backend)
        self.blocks = nn.ModuleList(Block(shape, causal, time, attend) for _ in range(shape.layers))
        self.norm = Norm(shape, time, gated=False)
        self.output = nn.Linear(shape.width, vocab_size + needs.extra_scores)
        self.initialize()

    def initialize(self) -> None:
        """Set unit embeddings, weights of variance 1 / inputs, residual outputs scaled down by depth, zero head.

        A standard deviation of 0.02 at every width (GPT-2) starts a narrow network too flat: masked arms then stay at
        the unigram entropy for hundreds of steps.
        """
        for name, parameter in self.named_parameters():
            if parameter.dim() < 2:
                nn.init.zeros_(parameter)
            else:
                residual = name.endswith(("attention_output.weight", "mlp_output.weight"))
                nn.init.normal_(
                    parameter, std=(parameter.shape[1] * (2 * self.shape.layers if residual else 1)) ** -0.5
                )
        for module in self.modules():
            if isinstance(module, Norm):
                module.initialize()
        if isinstance(self.embedding, nn.Embedding):
            nn.init.normal_(self.embedding.weight)
        nn.init.zeros_(self.output.weight)
        if self.start is not None:
            nn.init.normal_(self.start)

    def forward(self, z_BL: Tensor, clock_B: Tensor | None, guess_BLD: Tensor | None = None) -> Tensor:
        """Return hidden states [B, L, W] of z; `clock` [B] is the time conditioning, if the method needs time."""
        h_BLW = self.embedding(z_BL.to(self.output.weight.dtype) if z_BL.is_floating_point() else z_BL)
        if self.guess is not None:
            h_BLW = h_BLW + self.guess(guess_BLD)
        if self.start is not None:
            h_BLW = torch.cat([self.start.to(h_BLW).expand(len(h_BLW), 1, -1), h_BLW[:, :-1]], 1)
        rotations = rotary_angles(z_BL.shape[1], self.shape.width // self.shape.heads, z_BL.device)
        return self.through(h_BLW, rotations, clock_B)

    def extend(self, z_BL: Tensor, clock_B: Tensor | None, cache: "Cache") -> Tensor:
        """Return hidden states [B, new, W] of the positions of z [B, L] that are not cached yet, and cache them.

        Only the first call may add several positions at once. It is never compiled: shapes that grow with every call
        would be recompiled again and again.
        """
        first, length = cache.filled, z_BL.shape[1]
        assert self.start is not None
        assert length == first + 1 or first == 0, (first, length)
        h_BLW = self.embedding(z_BL[:, max(0, first - 1) : length - 1])
        if first == 0:
            h_BLW = torch.cat([self.start.to(h_BLW).expand(len(h_BLW), 1, -1), h_BLW], 1)
        cosine, sine = cache.rotations
        h_BLW = self.through(h_BLW, (cosine[first:length], sine[first:length]), clock_B, cache)
        cache.filled = length
        return h_BLW

    def through(
        self, h_BLW: Tensor, rotations: tuple[Tensor, Tensor], clock_B: Tensor | None, cache: "Cache | None" = None
    ) -> Tensor:
        """Return hidden states [B, L, W] of embedded positions, which also attend to cached ones."""
        condition_BC = None if self.time is None else self.time(clock_B)
        h_BLW = F.dropout(h_BLW, self.shape.dropout, self.training)
        for layer, block in enumerate(self.blocks):
            h_BLW = block(h_BLW, rotations, condition_BC, None if cache is None else partial(cache.extend, layer))
        return self.norm(h_BLW, condition_BC)[0]

    def head(self, h_NW: Tensor) -> Tensor:
        """Return scores [N, V + extras] of packed hidden states."""
        return self.output(h_NW)


class Block(nn.Module):
    """Attention and MLP, each after a norm; with time conditioning, each gated."""

    def __init__(self, shape: Shape, causal: bool, time: bool, attend: Attention):
        super().__init__()
        width = shape.width
        hidden = 4 * width if shape.mlp == "gelu" else 8 * width // 3
        self.shape, self.causal, self.attend = shape, causal, attend
        self.attention_norm, self.mlp_norm = Norm(shape, time, gated=True), Norm(shape, time, gated=True)
        self.attention_input = nn.Linear(width, 3 * width, bias=False)
        self.attention_output = nn.Linear(width, width, bias=False)
        self.mlp_input = nn.Linear(width, hidden if shape.mlp == "gelu" else 2 * hidden)
        self.mlp_output = nn.Linear(hidden, width)

    def forward(
        self, h_BLW: Tensor, rotations: tuple[Tensor, Tensor], condition_BC: Tensor | None, past: Past | None = None
    ) -> Tensor:
        normed, gate = self.attention_norm(h_BLW, condition_BC)
        h_BLW = h_BLW + gate * self.drop(self.mix(normed, rotations, past))
        normed, gate = self.mlp_norm(h_BLW, condition_BC)
        return h_BLW + gate * self.drop(self.mlp(normed))

    def mix(self, h_BLW: Tensor, rotations: tuple[Tensor, Tensor], past: Past | None) -> Tensor:
        q_BLHD, k_BLHD, v_BLHD = self.attention_input(h_BLW).unflatten(-1, (3, self.shape.heads, -1)).unbind(2)
        q_BLHD, k_BLHD, causal = rotate(q_BLHD, rotations), rotate(k_BLHD, rotations), self.causal
        if past is not None:
            k_BLHD, v_BLHD = past(k_BLHD, v_BLHD)
            causal = q_BLHD.shape[1] == k_BLHD.shape[1]  # a single new position attends to all
        mixed_BLHD = self.attend(q_BLHD, k_BLHD, v_BLHD, causal)
        return self.attention_output(mixed_BLHD.flatten(-2))

    def mlp(self, h_BLW: Tensor) -> Tensor:
        h = self.mlp_input(h_BLW)
        if self.shape.mlp == "gelu":
            return self.mlp_output(F.gelu(h, approximate="tanh"))
        gate, value = h.chunk(2, -1)
        return self.mlp_output(F.silu(gate) * value)

    def drop(self, h_BLW: Tensor) -> Tensor:
        return F.dropout(h_BLW, self.shape.dropout, self.training)


class Cache:
    """Keys and values of the first `filled` of L positions, in each layer of a causal network."""

    def __init__(self, network: Network, count: int, length: int, dtype: torch.dtype):
        shape, device = network.shape, network.output.weight.device
        width = shape.width // shape.heads
        storage = torch.empty(2, shape.layers, count, shape.heads, length, width, dtype=dtype, device=device)
        self.rotations, self.filled = rotary_angles(length, width, device), 0
        self.layers = list(zip(*storage.transpose(3, 4), strict=True))

    def extend(self, layer: int, k_BLHD: Tensor, v_BLHD: Tensor) -> tuple[Tensor, Tensor]:
        """Store keys and values of new positions in a layer; return those [B, L, H, D] of all positions so far."""
        new = k_BLHD.shape[1]
        k_cache, v_cache = self.layers[layer]
        k_cache.narrow(1, self.filled, new).copy_(k_BLHD)
        v_cache.narrow(1, self.filled, new).copy_(v_BLHD)
        return k_cache.narrow(1, 0, self.filled + new), v_cache.narrow(1, 0, self.filled + new)


class Norm(nn.Module):
    """Layer norm; with time conditioning, scale, shift and the gate of the branch come from the condition (adaLN)."""

    def __init__(self, shape: Shape, time: bool, gated: bool):
        super().__init__()
        self.width, self.opens = shape.width, shape.gates == "open"
        self.scale = None if time else nn.Parameter(torch.empty(shape.width))
        self.modulate = nn.Linear(shape.condition, (3 if gated else 2) * shape.width) if time else None

    def initialize(self) -> None:
        if self.scale is not None:
            nn.init.ones_(self.scale)
        if self.modulate is not None:
            nn.init.zeros_(self.modulate.weight)
            nn.init.zeros_(self.modulate.bias)
            nn.init.constant_(self.modulate.bias[2 * self.width :], float(self.opens))

    def forward(self, h_BLW: Tensor, condition_BC: Tensor | None) -> tuple[Tensor, Tensor | float]:
        """Return the normalized states and the gate."""
        normed = F.layer_norm(h_BLW, (self.width,), self.scale)
        if self.modulate is None:
            return normed, 1.0
        scale, shift, *gate = self.modulate(condition_BC)[:, None].split(self.width, -1)
        return normed * (1 + scale) + shift, gate[0] if gate else 1.0


class TimeEmbedding(nn.Module):
    """Sinusoidal features of 1000 times the clock, through a small MLP [B] -> [B, C] (scaled as in MD4)."""

    FEATURES = 128

    def __init__(self, condition: int):
        super().__init__()
        self.input = nn.Linear(self.FEATURES, condition)
        self.output = nn.Linear(condition, condition)

    def forward(self, clock_B: Tensor) -> Tensor:
        half = self.FEATURES // 2
        frequencies = torch.exp(-math.log(10_000) * torch.arange(half, device=clock_B.device) / half)
        angles = 1000 * clock_B[:, None] * frequencies
        features = torch.cat([angles.cos(), angles.sin()], -1).to(self.input.weight)
        return F.silu(self.output(F.silu(self.input(features))))


def rotary_angles(length: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return cosines and sines [L, 1, width / 2] of the rotary angles of each position."""
    frequencies = 10_000 ** (-torch.arange(0, width, 2, device=device) / width)
    angles = torch.outer(torch.arange(length, device=device), frequencies)[:, None]
    return angles.cos(), angles.sin()


def rotate(h_BLHD: Tensor, rotations: tuple[Tensor, Tensor]) -> Tensor:
    """Rotate the pairs (first half, second half) of each head by the angles of its position."""
    cosine, sine = rotations
    first, second = h_BLHD.chunk(2, -1)
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], -1).to(h_BLHD)

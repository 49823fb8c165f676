"""Attention backends. A backend that is not available is an error, never replaced by another one."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Attention = Callable[[Tensor, Tensor, Tensor, bool], Tensor]  # q, k, v [B, L, heads, D], causal -> [B, L, heads, D]


def sdpa(q_BLHD: Tensor, k_BLHD: Tensor, v_BLHD: Tensor, causal: bool) -> Tensor:
    """Attend with torch's scaled_dot_product_attention, which picks a kernel for the device and dtype."""
    q_BHLD, k_BHLD, v_BHLD = (part.transpose(1, 2) for part in (q_BLHD, k_BLHD, v_BLHD))
    return F.scaled_dot_product_attention(q_BHLD, k_BHLD, v_BHLD, is_causal=causal).transpose(1, 2)


def flash() -> Attention:
    """Return flash-attn's kernel, for half-precision tensors on a GPU (Dao, arXiv:2307.08691).

    Raises ImportError if the package is missing.
    """
    try:
        from flash_attn import flash_attn_func
    except ImportError as missing:
        raise ImportError(
            "attention: flash needs the package flash-attn, which is not installed; "
            'install it with pip install "diffusion-bench[flash]" (needs nvcc), or use attention: sdpa'
        ) from missing

    def attend(q_BLHD: Tensor, k_BLHD: Tensor, v_BLHD: Tensor, causal: bool) -> Tensor:
        if q_BLHD.dtype not in (torch.float16, torch.bfloat16):
            raise TypeError(
                f"attention: flash computes in half precision, not in {q_BLHD.dtype}; "
                "use precision: bfloat16 on a GPU, or attention: sdpa"
            )
        return flash_attn_func(q_BLHD, k_BLHD, v_BLHD, causal=causal)

    return attend


def attention(name: str) -> Attention:
    """Return the backend of that name. Raises ImportError if its package is missing."""
    return flash() if name == "flash" else sdpa

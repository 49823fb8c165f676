"""stories260K, a small language model of English stories, as a folder of Hugging Face (shared/data/stories260K).

Its two files are in the layout of llama2.c, which the README beside them describes.
"""

import json
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "stories260K"
START, END = 1, 2  # ids of <s> and </s>; 3..258 are bytes
SPACE = "▁"  # stands for a space in the tokens of SentencePiece


def stories(folder: Path) -> Path:
    """The model with its tokenizer, written to `folder`; where it is not there the test is skipped, in CI it fails."""
    if not SHARED.exists():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{SHARED} is not there")
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    sizes, weights = read_weights(SHARED / "stories260K.bin")
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config(sizes)))
    write_tokenizer(folder, *read_tokens(SHARED / "tok512.bin"))
    return folder


def config(sizes: dict[str, int]) -> dict:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": sizes["dim"],
        "intermediate_size": sizes["hidden"],
        "num_hidden_layers": sizes["layers"],
        "num_attention_heads": sizes["heads"],
        "num_key_value_heads": sizes["kv_heads"],
        "vocab_size": sizes["vocab"],
        "max_position_embeddings": sizes["length"],
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "hidden_act": "silu",
        "tie_word_embeddings": True,
        "bos_token_id": START,
        "eos_token_id": END,
        "torch_dtype": "float32",
    }


def read_weights(path: Path) -> tuple[dict[str, int], dict[str, Tensor]]:
    """The header, and the weights under the names of transformers."""
    names = ("dim", "hidden", "layers", "heads", "kv_heads", "vocab", "length")
    content = path.read_bytes()
    sizes = dict(zip(names, struct.unpack("<7i", content[:28]), strict=True))
    rest, dim, hidden, layers = np.frombuffer(content[28:], "<f4"), sizes["dim"], sizes["hidden"], sizes["layers"]
    width = dim // sizes["heads"]
    narrow = sizes["kv_heads"] * width

    def take(*shape: int) -> Tensor:
        nonlocal rest
        count = int(np.prod(shape))
        taken, rest = rest[:count], rest[count:]
        return torch.from_numpy(taken.copy()).view(shape)

    weights = {"model.embed_tokens.weight": take(sizes["vocab"], dim)}
    parts = {  # in the order of the file
        "input_layernorm": take(layers, dim),
        "self_attn.q_proj": halved(take(layers, dim, dim), width),
        "self_attn.k_proj": halved(take(layers, narrow, dim), width),
        "self_attn.v_proj": take(layers, narrow, dim),
        "self_attn.o_proj": take(layers, dim, dim),
        "post_attention_layernorm": take(layers, dim),
        "mlp.gate_proj": take(layers, hidden, dim),
        "mlp.down_proj": take(layers, dim, hidden),
        "mlp.up_proj": take(layers, hidden, dim),
    }
    weights["model.norm.weight"] = take(dim)
    assert len(rest) == sizes["length"] * width, len(rest)  # the angles of RoPE, two tables of half a head each
    for name, part in parts.items():
        weights |= {f"model.layers.{layer}.{name}.weight": part[layer].contiguous() for layer in range(layers)}
    return sizes, weights


def halved(weight: Tensor, width: int) -> Tensor:
    """Rows of each head in another order: llama2.c turns neighbours 2i, 2i + 1, transformers turns i, i + width / 2."""
    layers, rows, dim = weight.shape
    return weight.view(layers, rows // width, width // 2, 2, dim).transpose(2, 3).reshape(layers, rows, dim)


def read_tokens(path: Path) -> tuple[list[str], list[float]]:
    """All tokens in the order of their ids, spaces as SentencePiece writes them, and the scores of their merges."""
    content, at = path.read_bytes(), 4
    tokens, scores = [], []
    while at < len(content):
        score, length = struct.unpack_from("<fi", content, at)
        tokens.append(content[at + 8 : at + 8 + length].decode().replace(" ", SPACE))
        scores.append(score)
        at += 8 + length
    tokens[:3] = "<unk>", "<s>", "</s>"
    return tokens, scores


def write_tokenizer(folder: Path, tokens: list[str], scores: list[float]) -> None:
    """tokenizer.json: a space before the text, then the merges of best score first, bytes for unknown characters."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers

    ids = {token: number for number, token in enumerate(tokens)}
    pairs = [
        (-scores[number], number, token[:cut], token[cut:])
        for number, token in enumerate(tokens[259:], 259)
        for cut in range(1, len(token))
        if ids.get(token[:cut], 0) > 258 and ids.get(token[cut:], 0) > 258
    ]
    merges = [(left, right) for _, _, left, right in sorted(pairs)]
    made = Tokenizer(models.BPE(ids, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    made.normalizer = normalizers.Sequence([normalizers.Prepend(SPACE), normalizers.Replace(" ", SPACE)])
    made.decoder = decoders.Sequence(
        [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    made.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in tokens[:3]])
    made.save(str(folder / "tokenizer.json"))
    names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "add_bos_token": False, **names}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))

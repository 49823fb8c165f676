"""Writing from left to right: the cache changes nothing but the cost, and a truncation is the law that it says."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from bench.engine.model.method_with_network import Model
from bench.engine.model.network import Cache, Shape
from bench.engine.rng import Stream
from bench.engine.sample import autoregressive as causal
from bench.engine.sample.autoregressive import Truncation, kv_cache_refusal, left_to_right
from bench.engine.sample.sampler import sample
from methods import build
from methods.autoregressive import Autoregressive
from methods.method import Needs, draw
from tests.engine.likelihood.test_bound import real_model
from tests.engine.model.test_network import SHAPE, random_model
from tests.support.toys import model as lookup

V, L = 5, 12
LAW = torch.tensor([0.1, 0.4, 0.05, 0.3, 0.15], dtype=torch.float64)


class Timed(Autoregressive):
    """A causal method whose network is told the time."""

    needs = Needs(causal=True, time=True)


def built(kind: str) -> Model:
    """A causal network in float64 whose every weight is random."""
    if kind != "timed":
        return random_model("ar", Shape(layers=2, width=24, heads=3, mlp="swiglu" if kind == "swiglu" else "gelu"))
    torch.manual_seed(0)
    made = Model(Timed(V), SHAPE, V, "sdpa").double()
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return made.eval()


def begun(count: int, first: int, length: int = L) -> tuple[torch.Tensor, torch.Tensor]:
    """Random texts and which of their tokens are known: the first ones. The others are no tokens at all."""
    is_known = (torch.arange(length) < first).expand(count, length)
    texts = torch.randint(V, (count, length), generator=torch.Generator().manual_seed(1))
    return torch.where(is_known, texts, -1), is_known


def written(made: Model, known: torch.Tensor, is_known: torch.Tensor, monkeypatch, **options):
    """The texts, the log-probabilities that they were drawn from [B, drawn, V], and the positions of every call."""
    laws, positions = [torch.empty(len(known), 0, V)], []

    def recorded(log_p, rng):
        laws.append(log_p[:, None])
        return draw(log_p, rng)

    monkeypatch.setattr(causal, "draw", recorded)
    hook = made.network.norm.register_forward_hook(lambda module, given, result: positions.append(given[0].shape[1]))
    texts, calls = left_to_right(made, known, is_known, Stream(7), **options)
    hook.remove()
    assert calls == len(positions)
    return texts, torch.cat(laws, 1), positions


@pytest.mark.parametrize("kind", ["gelu", "swiglu", "timed"])
@pytest.mark.parametrize("first", [0, 1, 5, L - 1, L])
@pytest.mark.parametrize("count", [1, 3])
def test_a_cache_changes_neither_texts_nor_laws(kind, first, count, monkeypatch):
    made, (known, is_known) = built(kind), begun(count, first)
    texts, laws, positions = written(made, known, is_known, monkeypatch)
    plain_texts, plain_laws, plain_positions = written(made, known, is_known, monkeypatch, cache=False)
    assert torch.equal(texts, plain_texts)
    torch.testing.assert_close(laws, plain_laws, rtol=1e-12, atol=1e-12)  # float64, summed in another order
    assert torch.equal(texts[is_known], known[is_known])
    assert texts.min() >= 0
    assert positions == [first + 1, *[1] * (L - first - 1)][: L - first]
    assert plain_positions == list(range(first + 1, L + 1))


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-5), ("bfloat16", 0.1)])
def test_in_other_precisions_a_cache_changes_roundings_only(precision, tolerance):
    """Hidden states of about 1 after two layers: some roundings of 2^-24, or of 2^-9."""
    torch.manual_seed(0)
    made = Model(build("ar", V), SHAPE, V, "sdpa", precision).eval()
    x, t = torch.randint(V, (3, L)), torch.ones(3, dtype=torch.float64)
    cache = Cache(made.network, 3, L, torch.bfloat16 if precision == "bfloat16" else torch.float32)
    with torch.no_grad():
        pieces = [made.extend(x[:, :end], t, cache) for end in range(4, L + 1)]
        whole = made.hidden(x, t)
    torch.testing.assert_close(torch.cat(pieces, 1), whole, rtol=tolerance, atol=tolerance)
    assert (whole[1:] - whole[:1]).abs().mean() > 0.5  # texts differ by far more


def test_in_bfloat16_a_weight_is_rounded_once_a_text_and_not_once_a_token():
    made, casts = Model(build("ar", V), SHAPE, V, "sdpa", "bfloat16"), []

    class Recorded(TorchDispatchMode):
        def __torch_dispatch__(self, operation, types, given=(), options=None):
            if operation is torch.ops.aten._to_copy.default:
                casts.append(given[0].data_ptr())
            return operation(*given, **options or {})

    with Recorded():
        left_to_right(made, *begun(2, 0), Stream(0))
    for block in made.network.blocks:
        assert casts.count(block.mlp_input.weight.data_ptr()) == 1


@pytest.mark.parametrize("cache", [True, False])
def test_the_texts_are_those_of_whole_prefixes_read_again_for_every_token(cache):
    """One number a text and token, in the order of the tokens: what `sample` has always drawn."""
    made, rng = real_model("ar"), Stream(3)
    x = torch.zeros(4, L, dtype=torch.long)
    with torch.no_grad():
        for i in range(L):
            scores = made.network.head(made.network(x[:, : i + 1], None)[:, i])
            x[:, i] = draw(scores.log_softmax(-1), rng)
    blank = torch.full_like(x, -1), torch.zeros_like(x, dtype=torch.bool)
    assert torch.equal(left_to_right(made, *blank, Stream(3), cache=cache)[0], x)
    drawn = sample(made, 4, L, calls=1, seed=3)
    assert torch.equal(drawn.ids, x)
    assert drawn.network_calls == L


def test_dropout_is_off():
    made = random_model("ar", Shape(layers=2, width=16, heads=2, dropout=0.5))
    texts = [left_to_right(made.train(training), *begun(3, 2), Stream(0))[0] for training in (True, False)]
    assert torch.equal(*texts)


def test_a_compiled_network_writes_the_same():
    plain, compiled = random_model("ar"), random_model("ar")
    compiled.compile_network()
    texts = [left_to_right(made, *begun(2, 3), Stream(0))[0] for made in (plain, compiled)]
    assert torch.equal(*texts)


def aligned(q_BLHD, k_BLHD, v_BLHD, causal):
    """Attention by its definition; like flash-attn's, causal means that the last query sees the last key."""
    scores = torch.einsum("bqhd,bkhd->bhqk", q_BLHD, k_BLHD) * q_BLHD.shape[-1] ** -0.5
    if causal:
        seen = torch.ones(scores.shape[-2:]).tril(scores.shape[-1] - scores.shape[-2]).bool()
        scores = scores.masked_fill(~seen, -torch.inf)
    return torch.einsum("bhqk,bkhd->bqhd", scores.softmax(-1), v_BLHD)


def test_any_attention_that_keeps_the_contract_can_use_the_cache(monkeypatch):
    made = random_model("ar")
    expected = written(made, *begun(2, 3), monkeypatch, cache=False)
    for block in made.network.blocks:
        block.attend = aligned
    texts, laws, _ = written(made, *begun(2, 3), monkeypatch)
    assert torch.equal(texts, expected[0])
    torch.testing.assert_close(laws, expected[1], rtol=1e-12, atol=1e-12)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("cache", [True, False])
def test_texts_on_the_gpu_are_those_on_the_cpu_in_float64(cache):
    texts = []
    for device in ("cpu", "cuda"):
        given = [each.to(device) for each in begun(3, 5)]
        texts.append(left_to_right(random_model("ar").to(device), *given, Stream(0, device), cache=cache)[0].cpu())
    assert torch.equal(*texts)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_cache_on_the_gpu_changes_roundings_only_in_bfloat16():
    torch.manual_seed(0)
    made = Model(build("ar", V), Shape(layers=2, width=64, heads=2), V, "sdpa", "bfloat16").eval().cuda()
    x, t = torch.randint(V, (3, L)).cuda(), torch.ones(3, dtype=torch.float64).cuda()
    cache = Cache(made.network, 3, L, torch.bfloat16)
    with torch.no_grad():
        pieces = [made.extend(x[:, :end], t, cache) for end in range(4, L + 1)]
        torch.testing.assert_close(torch.cat(pieces, 1), made.hidden(x, t), rtol=0.1, atol=0.1)


@pytest.mark.parametrize("cache", [True, False])
def test_texts_follow_the_truncated_law(cache):
    """8,000 texts of two tokens against the product of truncated laws, by chi-square."""
    made, truncation = real_model("ar"), Truncation(temperature=0.8, top_k=4, top_p=0.9)
    given = torch.arange(V)[:, None].expand(V, 2)
    with torch.no_grad():
        first, second = truncation.apply(made.network.head(made.network(given, None)).log_softmax(-1)).exp().unbind(1)
    law = (first[0, :, None] * second).flatten()
    blank = begun(8000, 0, length=2)
    texts, _ = left_to_right(made, *blank, Stream(0), truncation, cache)
    counts = torch.bincount(texts[:, 0] * V + texts[:, 1], minlength=V * V)
    assert counts[law == 0].sum() == 0 < (law == 0).sum()
    expected, free = len(texts) * law[law > 0], int((law > 0).sum()) - 1
    assert ((counts[law > 0] - expected) ** 2 / expected).sum() < free + 4 * (2 * free) ** 0.5  # four deviations above


def test_a_text_may_have_no_token_and_a_batch_no_text():
    for shape in ((2, 0), (0, 3)):
        texts, calls = left_to_right(
            random_model("ar"), torch.zeros(shape).long(), torch.zeros(shape).bool(), Stream(0)
        )
        assert texts.shape == shape
        assert calls == 0


@pytest.mark.parametrize(
    ("is_known", "row"),
    [
        ([[1, 0, 1]], 0),
        ([[0, 1, 1]], 0),
        ([[1, 0, 0], [1, 1, 0]], 1),
        ([[1, 0, 0], [1, 0, 1]], 1),
        ([[1, 1, 0], [1, 0, 1]], 0),
    ],
)
def test_known_tokens_that_do_not_begin_every_text_alike_are_refused(is_known, row):
    is_known = torch.tensor(is_known, dtype=torch.bool)
    with pytest.raises(ValueError, match=f"^text {row}: its known tokens are not the beginning"):
        left_to_right(random_model("ar"), torch.zeros_like(is_known).long(), is_known, Stream(0))


def test_a_method_that_is_not_causal_is_refused():
    with pytest.raises(ValueError, match=r"^Mdlm is not causal"):
        left_to_right(random_model("mdlm"), *begun(1, 0), Stream(0))


def test_a_network_that_can_keep_no_cache_is_refused():
    made = lookup(Autoregressive(3))
    with pytest.raises(ValueError, match=r"^Autoregressive cannot write with a cache: its network is a Lookup"):
        left_to_right(made, *begun(1, 0), Stream(0))
    assert kv_cache_refusal(random_model("ar")) is None

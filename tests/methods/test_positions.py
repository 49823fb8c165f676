"""Methods that know positions: they are told the right ones in every verb, or fail loudly."""

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from bench.certify.bound_checks import PAIRS
from bench.certify.check import Case
from bench.certify.checks import certify
from bench.certify.tightness import measure_tightness
from bench.cli.views.methods import show_method
from bench.engine.flops import couples_backward
from bench.engine.likelihood.bound import bound
from bench.engine.likelihood.estimators import refusal as find_estimator_refusal
from bench.engine.likelihood.settings import BoundSpec
from bench.engine.likelihood.text_scores import score_texts
from bench.engine.model import method_with_network as packing
from bench.engine.model.method_with_network import Model
from bench.engine.model.network import Cache, Network, Shape
from bench.engine.model.positions import at_positions, in_prefixes, in_sequences
from bench.engine.rng import Stream
from bench.engine.sample.autoregressive import left_to_right
from bench.engine.sample.method_capabilities import TRIAL_LENGTH, is_masked
from bench.engine.sample.policies import POLICIES
from bench.engine.sample.policies.remasking import SelfCorrect
from bench.engine.sample.sampler import SamplerSettings, refusal, sample, sample_long
from bench.engine.sample.state import Prompt
from bench.engine.train.trainer import Progress, Trainer
from methods import METHODS
from methods.autoregressive import Autoregressive
from methods.continuous.plaid import Plaid
from methods.discrete.gidd import Gidd
from methods.masked.absorbing import Mdlm
from methods.method import Method, Needs
from methods.schedules import Geometric
from tests.support.positioned import METHODS as POSITIONED
from tests.support.positioned import MaskedByPosition, Ordered, Sharpened, Staggered

LENGTH = 6
TEXTS = torch.arange(LENGTH).repeat(5, 1)  # 0, 1, 2, ...: tokens are their own positions
SEQUENCE_VERBS = ("corrupt", "prior", "prior_gap", "couple", "clock", "feed")
POSITION_VERBS = (
    *("bound", "addends", "read", "transition", "step", "rates", "flow", "last_guess", "likeliest", "log_noise"),
    *("scored", "perfect", "objective", "feedback"),
)


@dataclass
class Witness:
    """What the verbs of a method were told: how often each was called, and in sequences of which lengths."""

    calls: Counter[str] = field(default_factory=Counter)
    lengths: set[int] = field(default_factory=set)
    read: list[list[int]] = field(default_factory=list)  # the positions of each call of `read`

    def observe(self, method: Method, name: str, arguments: tuple[object, ...]) -> None:
        """Assert that a verb is told positions of the right shape and, from the tokens of TEXTS, the right ones."""
        positions, length = method.positions, method.sequence_length
        self.calls[name] += 1
        self.lengths.add(length)
        self.read += [positions.tolist()] if name == "read" else []
        assert ((positions >= 0) & (positions < length)).all()
        for value in arguments:
            if isinstance(value, Tensor):
                self._compare(method, name, value, positions)

    def _compare(self, method: Method, name: str, value: Tensor, positions: Tensor) -> None:
        if name in SEQUENCE_VERBS:
            assert positions.dim() == 2
            assert len(value) == len(positions)
            return
        assert value.shape[: positions.dim()] == positions.shape, (name, value.shape, positions.shape)
        is_text = not value.is_floating_point() and method.sequence_length != TRIAL_LENGTH
        if is_text and isinstance(method, Mdlm | MaskedByPosition):
            visible = value < method.vocab_size
            assert torch.equal(value[visible], positions[visible]), name


def observed(kind: type[Method], witness: Witness, **options: Any) -> Method:
    """A method that needs positions, and whose every verb is observed."""

    def wrap(name: str) -> Any:
        verb = getattr(kind, name)

        def call(self: Method, *arguments: Any) -> Any:
            witness.observe(self, name, arguments)
            return verb(self, *arguments)

        return call

    verbs = {name: wrap(name) for name in (*SEQUENCE_VERBS, *POSITION_VERBS)}
    method: Method = type(f"Observed{kind.__name__}", (kind,), verbs)(LENGTH, **options)
    method.needs = replace(method.needs, positions=True)
    return method


class Counting(Network):
    """A network that is sure of the text 0, 1, 2, ..."""

    def forward(self, z: Tensor, clock: Tensor | None, guess: Tensor | None = None) -> Tensor:
        return self._sure(super().forward(z, clock, guess), 0)

    def extend(self, z: Tensor, clock: Tensor | None, cache: Cache) -> Tensor:
        first = cache.filled
        return self._sure(super().extend(z, clock, cache), first)

    def head(self, hidden: Tensor) -> Tensor:
        tokens = torch.arange(len(self.output.bias))
        return -200 * (tokens - hidden[:, :1]).abs() + 0 * self.output(hidden)

    def _sure(self, hidden: Tensor, first: int) -> Tensor:
        places = first + torch.arange(hidden.shape[1])
        return 0 * hidden + places[:, None]


def counting_model(method: Method) -> Model:
    """A model that is sure of TEXTS."""
    torch.manual_seed(0)
    model = Model(method, Shape(layers=1, width=16, heads=2, condition=8), method.vocab_size, "sdpa")
    model.network = Counting(model.network.shape, method.vocab_size, method.needs, "sdpa")
    return model


def train(model: Model) -> None:
    """One backward pass through the training loss of TEXTS."""
    trainer = Trainer.__new__(Trainer)
    trainer.model, trainer.noise, trainer.progress = model, Stream(0), Progress()
    trainer.loss(TEXTS, torch.linspace(0.2, 0.9, len(TEXTS), dtype=torch.float64)).backward()


def draw(model: Model) -> None:
    """Draw samples under every policy, of a prompt, and longer than a window."""
    for policy in (*POLICIES, SelfCorrect(corrections=1)):
        if refusal(model.method, SamplerSettings(LENGTH, policy), LENGTH) is None:
            sample(model, 3, LENGTH, LENGTH, seed=0, policy=policy)
    given = (torch.arange(LENGTH) < 2).expand(len(TEXTS), -1)
    sample(model, len(TEXTS), LENGTH, 3, 0, prompt=Prompt(TEXTS, given))


METHOD_KINDS: dict[str, tuple[type[Method], dict[str, Any]]] = {
    "by exact counts": (Mdlm, {}),
    "by times": (Mdlm, {"schedule": Geometric()}),
    "in steps": (Mdlm, {"steps": 8}),
    "a schedule by position": (Staggered, {}),
    "an order": (Ordered, {}),
    "a factor by position": (Sharpened, {}),
    "without carry-over": (Mdlm, {"carry_over": False, "time": True}),
    "masks and tokens": (Gidd, {}),
    "vectors": (Plaid, {}),
}


@pytest.mark.parametrize("name", METHOD_KINDS)
def test_every_verb_of_evaluation_training_and_sampling_is_told_its_positions(name, monkeypatch):
    monkeypatch.setattr(packing, "SCORES_AT_ONCE", 4 * LENGTH)  # several chunks, computed again for gradients
    kind, options = METHOD_KINDS[name]
    witness = Witness()
    method = observed(kind, witness, **options)
    model = counting_model(method)
    for estimator in ("auto", "times", "independent"):
        bound(model, TEXTS, 4, 2, 0, 3, estimator=estimator, by_token=True)
    train(model)
    draw(model)
    couples_backward(method)

    expected = {"corrupt", "prior", "prior_gap", "couple", "feed", "scored", "bound", "objective", "read", "last_guess"}
    assert expected <= witness.calls.keys()
    assert witness.calls.keys() & {"transition", "step"}
    assert witness.lengths <= {LENGTH, TRIAL_LENGTH, 1}
    assert method.place is None


@pytest.mark.parametrize("cache", [True, False])
def test_a_causal_method_is_told_the_length_of_the_whole_text_while_it_writes(cache):
    witness = Witness()
    model = counting_model(observed(Autoregressive, witness))
    given = (torch.arange(LENGTH) < 2).expand(len(TEXTS), -1)
    texts, _ = left_to_right(model, TEXTS, given, Stream(0), cache=cache)
    assert torch.equal(texts, TEXTS)
    assert witness.read == [[position] * len(TEXTS) for position in range(2, LENGTH)]
    assert witness.lengths == {LENGTH}
    assert {"read", "feed"} <= witness.calls.keys()
    assert float(bound(model, TEXTS, 2, 2, 0, 5)["integral"].max()) < 1e-9
    assert witness.lengths == {LENGTH}


def test_the_last_window_of_a_text_is_a_sequence_of_its_own_length():
    witness = Witness()
    model = counting_model(observed(Mdlm, witness))
    text = torch.cat([torch.arange(LENGTH), torch.arange(2)])
    score_texts(model, [text], [len(text)], LENGTH, BoundSpec(draws=2), batch_size=4)
    assert witness.lengths == {LENGTH, 2}


def test_windows_of_a_long_sample_start_at_position_0():
    model = counting_model(Ordered(LENGTH))
    ids = sample_long(model, 2, LENGTH, LENGTH + 3, 3, 0, SamplerSettings(LENGTH)).ids
    assert ids.tolist() == [[0, 1, 2, 3, 4, 5, 3, 4, 5]] * 2


def test_positions_are_known_within_verbs_alone():
    method = Staggered(3)
    for name in ("positions", "sequence_length"):
        with pytest.raises(RuntimeError, match=f"Staggered.{name} is read outside of a verb: the harness sets it"):
            getattr(method, name)
    with pytest.raises(RuntimeError, match="outside of a verb"):
        method.corrupt(torch.zeros(2, 3, dtype=torch.long), torch.ones(2).double(), Stream(0))
    with in_sequences(method, torch.zeros(2, 3)):
        assert torch.equal(method.positions, torch.tensor([[0, 1, 2], [0, 1, 2]]))
        with at_positions(method, torch.tensor([4, 1]), 7):
            assert (method.positions.tolist(), method.sequence_length) == ([4, 1], 7)
        assert method.sequence_length == 3
    with pytest.raises(ZeroDivisionError), in_sequences(method, torch.zeros(2, 3)):
        raise ZeroDivisionError
    with pytest.raises(RuntimeError, match="outside of a verb"):
        _ = method.positions


def test_while_a_text_is_written_only_the_harness_s_verbs_know_positions():
    method = Staggered(3)
    with in_prefixes(method, 9):
        with pytest.raises(RuntimeError, match="positions is read outside of a verb"):
            _ = method.positions
        with in_sequences(method, torch.zeros(2, 3)):
            assert (method.positions.shape, method.sequence_length) == ((2, 3), 9)


def test_a_method_that_does_not_declare_its_need_is_told_how():
    method = Staggered(3)
    method.needs = Needs(extra_tokens=1)
    with in_sequences(method, torch.zeros(2, 3)), pytest.raises(RuntimeError, match=r"needs = Needs\(positions=True"):
        _ = method.positions


def test_policies_that_need_one_schedule_refuse_a_schedule_by_position():
    for method in (Staggered(4), Ordered(4)):
        reasons = {policy: refusal(method, SamplerSettings(LENGTH, policy), LENGTH) for policy in POLICIES}
        assert {policy for policy, reason in reasons.items() if reason is None} == {"ancestral", "euler"}
        for policy in ("first-hitting", "confidence", "margin", "entropy-bounded", "remask"):
            assert reasons[policy] == "does not mask all positions by one schedule from 1 to 0"
        assert find_estimator_refusal(method, "counted") is not None
    assert find_estimator_refusal(Sharpened(4), "counted") is None


def test_what_a_method_can_do_is_asked_at_several_positions():
    """A method whose later positions may change what is visible is not masked, although its first position is."""

    class Restless(Staggered):
        def transition(self, z, t, s, prediction):
            law = super().transition(z, t, s, prediction)
            return torch.where(self.positions[..., None] > 2, torch.full_like(law, -1.0), law)

        def scored(self, z):
            return None

    assert is_masked(Staggered(4))
    assert not is_masked(Restless(4))


def test_a_user_can_see_that_a_method_knows_positions(monkeypatch, capsys):
    monkeypatch.setitem(METHODS, "staggered", Staggered)
    show_method("staggered")
    assert "by its index in the sequence" in capsys.readouterr().out
    show_method("mdlm")
    assert "by its index in the sequence" not in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("name", ["staggered", "sharpened"])
def test_methods_that_know_positions_are_certified(name, monkeypatch):
    monkeypatch.setitem(METHODS, name, POSITIONED[name])
    checks = list(certify(Case(name, {})))
    assert [check.name for check in checks if not check.passed] == []
    assert {"ancestral: texts, a table", "bound of an oracle, a hidden chain"} <= {check.name for check in checks}


@pytest.mark.parametrize("name", ["staggered", "ordered", "sharpened"])
def test_the_certificate_s_oracle_knows_positions(name, monkeypatch):
    """Over few documents, within four standard errors."""
    tightness = measure_tightness(POSITIONED[name](PAIRS.vocab_size), PAIRS, 128)
    assert tightness.residual.p_value() > 1e-4
    assert tightness.entropy > 1

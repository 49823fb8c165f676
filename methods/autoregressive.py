"""Autoregressive language modelling, the exact baseline: log p(x) = sum_i log p(x_i | x_<i)."""

from methods.method import Latent, LogProbs, Method, Nats, Needs, Noise, Times, Tokens, pick


class Autoregressive(Method):
    """Left-to-right: each token is predicted from those before it, the first one from a start vector."""

    paper = "chain rule"
    needs = Needs(causal=True)
    exact = True
    t_min = 0.0

    def __init__(self, vocab_size: int):
        super().__init__()
        self.vocab_size = vocab_size

    def corrupt(self, x: Tokens, t: Times, rng: Noise) -> Latent:
        """x itself: the causal network sees no later token."""
        return x

    def bound(self, x: Tokens, z: Latent, t: Times, prediction: LogProbs) -> Nats:
        """-log p(x_i | x_<i), at every t."""
        return -pick(prediction, x).double()

"""Left-to-right language modelling: the exact baseline, log p(x) = sum_i log p(x_i | x_<i)."""

from methods.method import Latent, LogProbs, Method, Nats, Needs, Noise, Times, Tokens, pick


class Autoregressive(Method):
    """Left-to-right: every token from those before it; the harness feeds a start vector, so all L tokens are scored."""

    paper = "chain rule"
    needs = Needs(causal=True)
    exact = True
    t_min = 0.0

    def __init__(self, vocab_size: int):
        super().__init__()
        self.vocab_size = vocab_size

    def corrupt(self, x: Tokens, t: Times, rng: Noise) -> Latent:
        return x  # the causal network hides the future by itself

    def bound(self, x: Tokens, z: Latent, t: Times, prediction: LogProbs) -> Nats:
        """-log p(x_i | x_<i), the same at every t."""
        return -pick(prediction, x).double()

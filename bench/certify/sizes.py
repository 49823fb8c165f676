"""What each entry of `CHECKS` asks, and the sizes that it was made with, as a certificate and a page name them."""

from bench.certify import (
    batch_probes,
    bound_checks,
    contract,
    exact_bound,
    leaks,
    long_and_wide,
    neighbour_identities,
    noise_probes,
    sampler_checks,
    score_probes,
    state_probes,
    tightness,
    trained_network,
    transport,
)
from bench.certify.checks import DOCUMENTS, oracle_sources
from bench.certify.estimator_checks import MASK_GRID

QUESTIONS = {
    "contract": "does every verb return what the contract says: shape, type, range?",
    "identities": "does the bound equal that of the methods that are named as neighbours, position by position?",
    "probes": "do scores know the future, the time or their target; are ids and units right?",
    "batches": "is the value of a document or row the same alone, in any batch, at any position, and a second time?",
    "scores": "do probabilities sum to one, is a constant harmless or paid for, does a sure and wrong network pay?",
    "noise": "does noise fall on each position by itself, by the law that `log_noise` tells; is the prior's law paid?",
    "state": "is the bound the same with gradients, in training mode, after training, whatever ran before?",
    "long": "does every position of a long text, and every token of a large vocabulary, cost what it tells?",
    "bound": "is the bound of every short text what noise hides of it, in every part of time, and at each end?",
    "estimator": "is the mean of the estimator over all its draws the diffusion loss?",
    "steps": "are bounds in discrete time above -log p(x), and does doubling the steps halve the gap?",
    "ends": "does the cost of the ends vanish as they widen?",
    "transport": "does a step, long or short, carry the law of z_t to that of z_s, rare tokens included?",
    "oracle": "is the bound that the harness prints the likelihood of a source?",
    "samples": "do samples of every policy follow their law, and this law the source?",
    "training": "can a network be trained to exploit the bound?",
    "harness": "did a plug-in change the harness?",
}


def describe_sizes() -> dict[str, str]:
    """The sizes of each entry of `CHECKS` in words."""
    short = ", ".join(f"{source.length} of {source.vocab_size}" for source in _short_sources())
    sources = ", ".join(f"{source.length} of {source.vocab_size}" for source in oracle_sources().values())
    chain, pairs = sampler_checks.CHAIN, bound_checks.PAIRS
    vocabularies = f"{long_and_wide.MIDDLE}, {long_and_wide.WIDE}"
    return {
        "contract": f"{contract.SEQUENCES} texts of {contract.LENGTH} tokens",
        "identities": f"{neighbour_identities.POSITIONS:,} positions of {neighbour_identities.VOCAB_SIZE} tokens",
        "probes": f"{leaks.SEQUENCES} texts of {leaks.LENGTH} tokens of {leaks.VOCAB_SIZE}",
        "batches": f"up to {max(batch_probes.LARGE):,} rows and {batch_probes.SEQUENCES:,} sequences",
        "scores": f"{score_probes.ROWS} rows; scores that differ by up to {score_probes.SURE[-1]:.0f} nats",
        "noise": f"{noise_probes.DRAWS:,} draws for each of {len(noise_probes.UNIFORMS)} times and each token",
        "state": f"{state_probes.ROWS} rows; {state_probes.DOCUMENTS} texts of {state_probes.LENGTH} tokens",
        "long": f"texts of {long_and_wide.LENGTH} tokens; {vocabularies} and {long_and_wide.VAST:,} tokens",
        "bound": f"all texts of a source, tokens of a text, of a vocabulary: {short}; all z",
        "estimator": f"all z, or {MASK_GRID} values of the uniform number of each position",
        "steps": f"all texts of {pairs.length} tokens of {pairs.vocab_size}; all z",
        "ends": f"quadrature to {exact_bound.ACCURACY:.0e} nats",
        "transport": f"{len(transport.STEPS)} steps of {len(transport.COMMON)} tokens, down to a probability of 2^-22",
        "oracle": f"{DOCUMENTS} texts of a source, {tightness.DRAWS} draws x {tightness.REPLICATES} replicates;"
        f" tokens of a text, of a vocabulary: {sources}",
        "samples": f"{sampler_checks.SAMPLES:,} texts of {pairs.length} tokens of {pairs.vocab_size};"
        f" {sampler_checks.CHAIN_SAMPLES:,} of {chain.length} of {chain.alphabet}",
        "training": f"{trained_network.STEPS} steps of {trained_network.TRAINING.batch_size} texts of"
        f" {trained_network.LENGTH} tokens of {trained_network.VOCAB_SIZE}",
        "harness": "every module of the 2 packages bench and methods",
    }


def _short_sources() -> tuple[bound_checks.Table, ...]:
    return bound_checks.SINGLES, bound_checks.PAIRS, bound_checks.COIN

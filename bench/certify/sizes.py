"""What the checks were made with: the sizes that a certificate and a page name, by entry of `CHECKS`."""

from bench.certify import kraft_sum, leaks, neighbour_identities, rare_draws, sampler_checks, tightness
from bench.certify.checks import DOCUMENTS, PAIRS, oracle_sources


def describe_sizes() -> dict[str, str]:
    """The sizes of each entry of `CHECKS` in words."""
    sources = "; ".join(f"{name}: {source.length} of {source.vocab_size}" for name, source in oracle_sources().items())
    chain = sampler_checks.CHAIN
    return {
        "identities": f"{neighbour_identities.POSITIONS:,} positions of {neighbour_identities.VOCAB_SIZE} tokens",
        "probes": f"{leaks.SEQUENCES} texts of {leaks.LENGTH} tokens of {leaks.VOCAB_SIZE}",
        "oracle": f"{DOCUMENTS} texts of a source, {tightness.DRAWS} draws x {tightness.REPLICATES} replicates;"
        f" tokens of a text, of a vocabulary: {sources}",
        "samples": f"{sampler_checks.SAMPLES:,} texts of {PAIRS.length} tokens of {PAIRS.vocab_size};"
        f" {sampler_checks.CHAIN_SAMPLES:,} of {chain.length} of {chain.alphabet};"
        f" {rare_draws.ROWS:,} draws of {rare_draws.VOCAB_SIZE} tokens",
        "kraft": f"all texts of {kraft_sum.LENGTH} tokens of {kraft_sum.VOCAB_SIZE},"
        f" {kraft_sum.DRAWS} draws x {kraft_sum.REPLICATES} replicates",
    }

"""Protocols: numbers of earlier versions stay comparable, for their words are translated."""

import pytest

from bench.engine.likelihood.protocol import describe_protocol, normalize_protocol
from bench.engine.likelihood.settings import BoundSpec
from methods import build

CASES = [  # method, options, estimator, the words of earlier versions, those of today
    ("ar", {}, "auto", "exact likelihood", "exact likelihood"),
    (
        "mdlm",
        {},
        "auto",
        "exactly k masked, 4 mirrored draws x 2, noise 0",
        "exactly k masked, 4 antithetic draws x 2 replicates, noise seed 0",
    ),
    (
        "gidd",
        {},
        "auto",
        "stratified t with both ends, 4 mirrored draws x 2, noise 0",
        "stratified t with prior and reconstruction loss, 4 antithetic draws x 2 replicates, noise seed 0",
    ),
    (
        "gidd",
        {},
        "independent",
        "independent t with both ends, 4 draws x 2, noise 0",
        "independent t with prior and reconstruction loss, 4 draws x 2 replicates, noise seed 0",
    ),
    (
        "d3pm-uniform",
        {"steps": 20},
        "auto",
        "t on 20 steps, 4 mirrored draws x 2, noise 0",
        "stratified t on 20 steps, 4 antithetic draws x 2 replicates, noise seed 0",
    ),
    (
        "d3pm-uniform",
        {"steps": 20},
        "independent",
        "t on 20 steps, independent, 4 draws x 2, noise 0",
        "independent t on 20 steps, 4 draws x 2 replicates, noise seed 0",
    ),
]
OLD = "; test packed without overlap, 16 tokens a sequence; averaged weights; float32"
TODAY = "; test packed without overlap, 16 tokens per sequence; EMA weights; float32"


@pytest.mark.parametrize(("name", "options", "estimator", "old", "today"), CASES)
def test_a_protocol_of_an_earlier_version_is_that_of_today(name, options, estimator, old, today):
    spec = BoundSpec(draws=4, estimator=estimator)
    assert describe_protocol(build(name, 5, **options), spec, 16, "float32") == today + TODAY
    assert normalize_protocol(old + OLD) == today + TODAY


@pytest.mark.parametrize("text", [today + TODAY for *_, today in CASES])
def test_the_words_of_today_are_left_as_they_are(text):
    assert normalize_protocol(text) == text


@pytest.mark.parametrize(
    ("old", "today"),
    [
        ("t on 10 steps, 2 draws", "stratified t on 10 steps, 2 draws"),
        ("t on 10 steps, independent, 2 draws", "independent t on 10 steps, 2 draws"),
        ("stratified t, 2 draws", "stratified t, 2 draws"),
        ("exactly k masked, 4 draws", "exactly k masked, 4 draws"),
        ("exactly k masked, 4 draws x 12, noise 7", "exactly k masked, 4 draws x 12 replicates, noise seed 7"),
        (
            "t on 3 steps, last guess, 16 mirrored draws x 2, noise 0",
            "stratified t on 3 steps with reconstruction loss, 16 antithetic draws x 2 replicates, noise seed 0",
        ),
        ("ancestral, 16 calls", "ancestral, 16 calls"),
        ("", ""),
    ],
)
def test_names_of_estimators_are_translated_as_well(old, today):
    assert normalize_protocol(old) == today
    assert normalize_protocol(today) == today

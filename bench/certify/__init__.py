"""Proofs on sources whose law is known: is a bound a bound, and does perfect knowledge make it the likelihood?"""

"""Filling gaps in recordings, and re-labelling past readings with a fixed lag: a network that looks both ways.

It sees readings after the one it estimates, so it is for recordings, before training. No forecast may use it.

    recording ─ parts ─▶ hide stretches ─ windows ─▶ network (GRU, LSTM, RNN; both ways) ─▶ quantiles (B, T, 3)
                                                          └─ choose, per channel and gap length: it, or a baseline

Sources: BRITS (arXiv 1805.10572), which trains a bidirectional network on hidden values and feeds it the time since
a value was seen; GRU-D (arXiv 1606.01865), whose inputs are value, mask and that time.
"""

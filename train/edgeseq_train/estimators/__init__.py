"""Estimators: what no sensor tells, a number or a class, learned from recordings in which something told it.

labels (recording and truth) → fit (regression, then the network) → produce (bundle, scores beside the peers)
"""

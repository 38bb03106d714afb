"""A reading's way through edgeseq, on one screen. (Being written.)"""

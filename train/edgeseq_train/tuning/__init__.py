"""`edgeseq tune model`: a search over a recipe's choices, judged on validation, within time and size.

space (what may be chosen) ─▶ trial (one training, pruned) ─▶ study (many, kept in a file) ─▶ the best recipe
                                    ▲
                         ruler (one measure for all)
"""

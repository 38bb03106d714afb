"""Train, quantize and export the models that edgeseq runs; needs the `train` extra."""

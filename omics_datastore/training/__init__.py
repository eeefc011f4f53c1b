"""Iterate a released curriculum in mini-batches: without any framework, and as a data set of PyTorch."""

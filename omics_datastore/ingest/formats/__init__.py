"""Every kind of source made into one local ``.h5ad`` file, in bounded memory: one reader serves them all afterwards."""

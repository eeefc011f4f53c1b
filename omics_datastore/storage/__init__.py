"""Where bytes are kept: the object store seam, its folder, its layout, digest-checked documents."""

"""What httpreport writes: one file for each output, and the registry that names them all."""

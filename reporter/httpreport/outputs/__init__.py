"""Define what httpreport writes: one file for each output, and the registry that lists them all."""

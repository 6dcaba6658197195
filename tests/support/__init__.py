"""Share helpers between tests of several parts: hand-built captures, processes to record, a browser, the source
tree."""

"""Helpers that tests of several parts share: hand-built captures, processes to record, a browser, the source tree."""

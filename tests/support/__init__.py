"""What tests of several parts share: captures built by hand, processes to record, a browser, the source tree."""

"""Reads ELF files and their symbol tables, and demangles names."""

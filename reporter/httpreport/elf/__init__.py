"""ELF files, their symbol tables, and C++ and Rust names."""

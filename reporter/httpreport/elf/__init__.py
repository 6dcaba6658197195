"""Read ELF files and their symbol tables, and demangle names."""
